use super::Sink;
use crate::event::{Event, Op};
use tracing::{Level, event};

/// Passes each event on to `tracing`, as an event with structured fields.
///
/// The target says what happened, so that a filter can choose: `refscope::new`, `refscope::clone`,
/// `refscope::drop`, `refscope::weak`, `refscope::other`. Births are at level `DEBUG`, the rest at `TRACE`.
/// The fields are `object`, `kind`, `type`, `op`, `handle`, `from`, `strong`, `seq`, and `site` where there
/// is one.
///
/// The subscriber's own locks are its own: one that the program can hold while it drops a traced pointer
/// may wait for itself.
///
/// # Examples
///
/// ```no_run
/// refscope::install(refscope::sink::TracingSink).expect("no other sink is installed");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

/// `tracing` takes a target and a level that are constants.
macro_rules! pass {
    ($event:ident, $level:expr, $target:literal) => {
        event!(
            target: $target,
            $level,
            op = $event.op().name(),
            object = $event.object().id().number(),
            kind = $event.object().kind().name(),
            r#type = $event.object().type_name(),
            label = $event.object().label(),
            handle = $event.handle().number(),
            from = $event.from().map(|from| from.number()),
            strong = $event.strong(),
            seq = $event.seq(),
            site = $event.site().map(tracing::field::display),
        )
    };
}

impl Sink for TracingSink {
    fn event(&self, event: &Event) {
        match event.op() {
            Op::New | Op::NewCyclic | Op::FromStd | Op::CopyOnWrite | Op::WeakFromStd => {
                pass!(event, Level::DEBUG, "refscope::new");
            }
            Op::Clone | Op::Upgrade => pass!(event, Level::TRACE, "refscope::clone"),
            Op::Drop | Op::MovedOut | Op::IntoInner | Op::IntoStd => {
                pass!(event, Level::TRACE, "refscope::drop");
            }
            Op::Downgrade | Op::WeakClone | Op::WeakDrop | Op::UpgradeFailed | Op::WeakIntoStd => {
                pass!(event, Level::TRACE, "refscope::weak");
            }
            _ => pass!(event, Level::TRACE, "refscope::other"),
        }
    }
}
