//! More spans than are kept: memory is bounded, and what is not known is counted. (In a process of its own: the table is the
//! process's.)

use refscope::{Arc, Scope};
use tracing_subscriber::layer::SubscriberExt as _;

/// Texts that are kept.
const KEPT: u64 = 65_535;

#[test]
fn spans_beyond_the_table() {
    let subscriber = tracing_subscriber::registry().with(refscope::span::layer());
    let _default = tracing::subscriber::set_default(subscriber);
    let scope = Scope::tracking();
    let _guard = scope.enter();
    // Spans in which no handle is made take no room in the table.
    for id in 0..100_000 {
        tracing::info_span!("idle", id).in_scope(|| ());
    }
    for id in 0..KEPT {
        tracing::info_span!("request", id).in_scope(|| drop(Arc::new(id)));
    }
    assert_eq!(refscope::untraced_counts().spans_unknown, 0);
    // Known ones are known still; a new one is not, and is counted.
    let known = tracing::info_span!("request", id = 17).in_scope(|| Arc::new(1_u8));
    let counted = tracing::info_span!("request", id = KEPT + 1).in_scope(|| Arc::new(2_u16));
    assert_eq!(refscope::untraced_counts().spans_unknown, 1);
    // Handles are counted, not how often it was asked: a clone is one more, and what is no handle's beginning is none.
    let span = tracing::info_span!("request", id = KEPT + 2).entered();
    let clone = counted.clone();
    refscope::label(&clone, "one of many");
    drop(clone);
    drop(span);
    assert_eq!(refscope::untraced_counts().spans_unknown, 2);
    let spans: Vec<_> = scope.alive().iter().map(|o| (o.size, o.span.clone())).collect();
    assert_eq!(spans, [(1, Some("request{id=17}".into())), (2, None)]);
    drop((known, counted));
}
