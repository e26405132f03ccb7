//! The span of `tracing` in which something happened, as a text that is kept once.
//!
//! Spans have no text of their own: a subscriber formats their fields. `layer` (feature `spans`) does, for those who add it.

#[cfg(not(feature = "spans"))]
mod none {
    /// No span is known: it takes no room, and to hand it on costs nothing.
    #[derive(Clone, Copy)]
    pub(crate) struct Current;

    impl Current {
        #[inline(always)]
        pub(crate) fn number(self) -> u32 {
            0
        }
    }

    #[inline(always)]
    pub(crate) fn current() -> Current {
        Current
    }

    #[inline(always)]
    pub(crate) fn current_if(_: bool) -> Current {
        Current
    }

    #[inline(always)]
    pub(crate) fn note_handle(_: u32) {}

    pub(crate) fn text(_: u32) -> Option<String> {
        None
    }

    pub(crate) fn not_kept() -> u64 {
        0
    }

    #[allow(dead_code)] // where the memory can be searched
    pub(crate) fn own_static() -> Option<std::ops::Range<usize>> {
        None
    }
}

#[cfg(not(feature = "spans"))]
#[allow(unused_imports)] // `own_static`: where the memory can be searched
pub(crate) use none::{Current, current, current_if, not_kept, note_handle, own_static, text};

#[cfg(feature = "spans")]
#[allow(unused_imports)]
pub(crate) use known::{Current, current, current_if, not_kept, note_handle, own_static, text};
#[cfg(feature = "spans")]
pub use known::{SpanLayer, layer};

#[cfg(feature = "spans")]
mod known {
    use crate::lock::RwLock;
    use std::cell::Cell;
    use std::collections::HashMap;
    use std::fmt::{self, Write as _};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id};
    use tracing_subscriber::layer::{Context, Layer};
    use tracing_subscriber::registry::LookupSpan;

    /// Spans that are open, and the texts of those in which handles were made.
    #[derive(Default)]
    struct Spans {
        open: HashMap<u64, Span>,
        texts: Vec<Box<str>>,
        numbers: HashMap<Box<str>, u32>,
    }

    struct Span {
        text: Box<str>,
        /// 0: no handle has been made in it.
        number: u32,
    }

    /// Texts that are kept: records of events have 16 bits for a span's number.
    const MOST: usize = (1 << 16) - 1;

    /// The number of all whose text is not kept. A record has no room for it, and says that there was no span.
    const NOT_KEPT: u32 = 1 << 16;

    static SPANS: RwLock<Option<Spans>> = RwLock::new(None);
    /// The layer is there.
    static IN_PLACE: AtomicBool = AtomicBool::new(false);
    /// Handles that were made in a span whose text is not kept.
    static HANDLES: AtomicU64 = AtomicU64::new(0);

    thread_local! {
        /// The thread asks the subscriber. Without a destructor: it is there to the thread's end.
        static ASKS: Cell<bool> = const { Cell::new(false) };
    }

    /// Where the spans are kept: nothing of the program's is, but old words in what is spare.
    #[allow(dead_code)] // where the memory can be searched
    pub(crate) fn own_static() -> Option<std::ops::Range<usize>> {
        Some(crate::lock::place(&SPANS))
    }

    /// How many handles were made in a span whose text is not kept, since there are so many.
    pub(crate) fn not_kept() -> u64 {
        HANDLES.load(Ordering::Relaxed)
    }

    /// Notes that a handle was made in the span of this number.
    #[inline(always)]
    pub(crate) fn note_handle(span: u32) {
        if span == NOT_KEPT {
            // Relaxed: a counter.
            HANDLES.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A span, by its number.
    #[derive(Clone, Copy)]
    pub(crate) struct Current(u32);

    impl Current {
        /// 0 for none.
        #[inline(always)]
        pub(crate) fn number(self) -> u32 {
            self.0
        }
    }

    /// The innermost span that this thread has entered, if the [`layer`] is in place.
    ///
    /// It runs the subscriber's code, which may panic, or use traced pointers: not to be called under a lock, or while the
    /// thread's own is in use.
    #[inline(always)]
    pub(crate) fn current() -> Current {
        // Relaxed: whoever opened a span has put the layer in place.
        Current(if IN_PLACE.load(Ordering::Relaxed) { asked() } else { 0 })
    }

    /// The same where somebody wants to know it, else none.
    #[inline(always)]
    pub(crate) fn current_if(wanted: bool) -> Current {
        if wanted { current() } else { Current(0) }
    }

    #[inline(never)]
    fn asked() -> u32 {
        // A handler that interrupted who has the lock that is taken below would wait for itself.
        #[cfg(feature = "trace")]
        if crate::lock::gate::is_passed() {
            return 0;
        }
        // What the subscriber does with traced pointers when it is asked is in no span: asked again, it would do it again.
        if ASKS.replace(true) {
            return 0;
        }
        let asked = catch_unwind(AssertUnwindSafe(|| {
            tracing::dispatcher::get_default(|dispatch| {
                dispatch.current_span().id().map(Id::into_u64)
            })
        }));
        ASKS.set(false);
        match asked {
            Ok(id) => id.map_or(0, number_of),
            Err(panic) => {
                failed(panic);
                0
            }
        }
    }

    /// The program's operation goes on. So does what called us, and a drop must not unwind.
    #[cold]
    fn failed(panic: Box<dyn std::any::Any + Send>) {
        IN_PLACE.store(false, Ordering::Relaxed);
        crate::event::warn(format_args!(
            "the subscriber of `tracing` panicked when asked for the current span.\n          It is not asked any more; \
             the program goes on."
        ));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            // A payload whose own drop panics has been given its chance.
            std::mem::forget(panic);
        }
    }

    fn number_of(id: u64) -> u32 {
        let number = SPANS.read().as_ref().and_then(|spans| Some(spans.open.get(&id)?.number));
        match number {
            None => 0,
            Some(0) => intern(id),
            Some(number) => number,
        }
    }

    #[cold]
    fn intern(id: u64) -> u32 {
        let mut spans = SPANS.write();
        let Some(Spans { open, texts, numbers }) = spans.as_mut() else { return 0 };
        let Some(span) = open.get_mut(&id) else { return 0 };
        if let Some(&known) = numbers.get(&span.text) {
            span.number = known;
        } else if texts.len() < MOST {
            texts.push(span.text.clone());
            span.number = texts.len() as u32;
            numbers.insert(span.text.clone(), span.number);
        } else {
            return NOT_KEPT;
        }
        span.number
    }

    pub(crate) fn text(number: u32) -> Option<String> {
        let place = number.checked_sub(1)? as usize;
        SPANS.read().as_ref()?.texts.get(place).map(|text| text.to_string())
    }

    /// Lets refscope know the spans of `tracing`, so that a report says in which one a handle was made: "cloned in
    /// `request{id=17}`". Add it to the program's subscriber.
    ///
    /// # Examples
    ///
    /// ```
    /// use tracing_subscriber::layer::SubscriberExt as _;
    ///
    /// let subscriber = tracing_subscriber::registry().with(refscope::span::layer());
    /// tracing::subscriber::with_default(subscriber, || {
    ///     let scope = refscope::Scope::tracking();
    ///     let _guard = scope.enter();
    ///     let _span = tracing::info_span!("request", id = 17).entered();
    ///     let one = refscope::Arc::new("a session");
    ///     # if refscope::ENABLED {
    ///     assert_eq!(scope.alive()[0].handles[0].span.as_deref(), Some("request{id=17}"));
    ///     # }
    /// });
    /// ```
    ///
    /// # Cost
    ///
    /// The subscriber is asked for the current span at each allocation and clone, and where events are recorded at each event.
    /// If it panics then, it is not asked any more, until `layer` is called again. What it does with traced pointers meanwhile
    /// is in no span.
    ///
    /// A span's text is formatted when it is opened, and kept while it is open. The texts of spans in which a handle was
    /// made are kept for the life of the process, each once, 65,535 of them; handles that are made in further ones have no
    /// span, and are counted (see [`untraced_counts`](crate::untraced_counts)).
    pub fn layer() -> SpanLayer {
        SPANS.write().get_or_insert_default();
        IN_PLACE.store(true, Ordering::Relaxed);
        SpanLayer(())
    }

    /// See [`layer`].
    #[derive(Debug)]
    pub struct SpanLayer(());

    impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
            let mut text = attributes.metadata().name().to_owned();
            let mut fields = Fields(String::new());
            attributes.record(&mut fields);
            if !fields.0.is_empty() {
                let _ = write!(text, "{{{}}}", fields.0);
            }
            let mut spans = SPANS.write();
            let span = Span { text: text.into(), number: 0 };
            spans.get_or_insert_default().open.insert(id.into_u64(), span);
        }

        fn on_close(&self, id: Id, _: Context<'_, S>) {
            if let Some(spans) = SPANS.write().as_mut() {
                spans.open.remove(&id.into_u64());
            }
        }
    }

    /// The fields as `a=1 b=2`.
    struct Fields(String);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            let blank = if self.0.is_empty() { "" } else { " " };
            let _ = write!(self.0, "{blank}{field}={value:?}");
        }
    }
}
