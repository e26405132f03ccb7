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
}

#[cfg(not(feature = "spans"))]
pub(crate) use none::{current, text};

#[cfg(feature = "spans")]
pub use known::{SpanLayer, layer};
#[cfg(feature = "spans")]
pub(crate) use known::{current, text};

#[cfg(feature = "spans")]
mod known {
    use crate::lock::RwLock;
    use std::collections::HashMap;
    use std::fmt::{self, Write as _};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id};
    use tracing_subscriber::layer::{Context, Layer};
    use tracing_subscriber::registry::LookupSpan;

    /// Spans that are open, and the texts that anything refers to.
    #[derive(Default)]
    struct Spans {
        open: HashMap<u64, u32>,
        texts: Vec<String>,
        numbers: HashMap<String, u32>,
    }

    /// A record of the log names a span in 16 bits. Beyond, spans are not known.
    const MOST: usize = u16::MAX as usize;

    static SPANS: RwLock<Option<Spans>> = RwLock::new(None);

    /// The innermost span that this thread has entered, if the [`layer`] is in place; 0 for none.
    pub(crate) fn current() -> u32 {
        if SPANS.read().is_none() {
            return 0;
        }
        // Outside of the lock: asking the subscriber runs code that is not ours.
        let id = tracing::dispatcher::get_default(|dispatch| {
            dispatch.current_span().id().map(Id::into_u64)
        });
        let spans = SPANS.read();
        id.and_then(|id| spans.as_ref()?.open.get(&id).copied()).unwrap_or(0)
    }

    pub(crate) fn text(number: u32) -> Option<String> {
        let place = number.checked_sub(1)? as usize;
        SPANS.read().as_ref()?.texts.get(place).cloned()
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
    /// A span's text is formatted when it is opened; texts are kept, each once, for the life of the process. After 65535 different
    /// ones no further text is kept, and handles that are made in such a span have none.
    pub fn layer() -> SpanLayer {
        SPANS.write().get_or_insert_default();
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
            let spans = spans.get_or_insert_default();
            let Spans { open, texts, numbers } = spans;
            if texts.len() >= MOST && !numbers.contains_key(&text) {
                return;
            }
            let number = *numbers.entry(text).or_insert_with_key(|text| {
                texts.push(text.clone());
                texts.len() as u32
            });
            open.insert(id.into_u64(), number);
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
