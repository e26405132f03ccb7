//! The span of `tracing` in which something happened, as a text that is kept once.
//!
//! Spans have no text of their own: a subscriber formats their fields. `layer` (feature `spans`) does, for those who add it.

#[cfg(not(feature = "spans"))]
mod none {
    /// No span is known.
    pub(crate) fn current() -> u32 {
        0
    }

    pub(crate) fn text(_: u32) -> Option<String> {
        None
    }

    pub(crate) fn not_kept() -> u64 {
        0
    }
}

#[cfg(not(feature = "spans"))]
pub(crate) use none::{current, not_kept, text};

#[cfg(feature = "spans")]
pub use known::{SpanLayer, layer};
#[cfg(feature = "spans")]
pub(crate) use known::{current, not_kept, text};

#[cfg(feature = "spans")]
mod known {
    use crate::lock::RwLock;
    use std::collections::HashMap;
    use std::fmt::{self, Write as _};
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

    static SPANS: RwLock<Option<Spans>> = RwLock::new(None);
    /// The layer is there.
    static IN_PLACE: AtomicBool = AtomicBool::new(false);
    /// Handles that were made in a span whose text is not kept.
    static NOT_KEPT: AtomicU64 = AtomicU64::new(0);

    /// How many handles were made in a span whose text is not kept, since there are so many.
    pub(crate) fn not_kept() -> u64 {
        NOT_KEPT.load(Ordering::Relaxed)
    }

    /// The innermost span that this thread has entered, if the [`layer`] is in place; 0 for none.
    pub(crate) fn current() -> u32 {
        // Relaxed: whoever opened a span has put the layer in place.
        if !IN_PLACE.load(Ordering::Relaxed) {
            return 0;
        }
        // Outside of the lock: asking the subscriber runs code that is not ours.
        let id = tracing::dispatcher::get_default(|dispatch| {
            dispatch.current_span().id().map(Id::into_u64)
        });
        let Some(id) = id else { return 0 };
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
            NOT_KEPT.fetch_add(1, Ordering::Relaxed);
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
    ///     let scope = refscope::Scope::mark();
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
