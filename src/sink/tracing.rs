use super::Sink;
use crate::event::{Event, Op};
use tracing::field::{Empty, Value};
use tracing::{Level, event};

/// Passes each event on to `tracing`, as an event with structured fields.
///
/// The target says what happened, so that a filter can choose: `refscope::new`, `refscope::clone`, `refscope::drop`, and
/// so on, one for each [operation](Op). Allocations, labels and leaks are at level `DEBUG`, the rest at `TRACE`.
/// The fields are `op`, `object`, `kind`, `type`, `handle`, `strong` and `seq`, and where they are known `label`, `from` and
/// `location`.
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

/// Returns a field's value, which may be none: in older versions of `tracing-core` an `Option` is no
/// `Value`.
fn optional<T: Value>(value: &Option<T>) -> &dyn Value {
    match value {
        Some(value) => value,
        None => &Empty,
    }
}

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
            label = optional(&$event.object().label()),
            handle = $event.handle().number(),
            from = optional(&$event.made_from().map(|from| from.number())),
            strong = $event.strong(),
            seq = $event.seq(),
            location = optional(&$event.location().map(display)),
        )
    };
}

/// A target for each operation, and its level.
macro_rules! targets {
    ($event:ident, $($Op:ident => $level:ident $target:literal,)*) => {
        match $event.op() {
            $(Op::$Op => pass!($event, Level::$level, $target),)*
        }
    };
}

impl Sink for TracingSink {
    fn event(&self, event: &Event) {
        targets! { event,
            New => DEBUG "refscope::new",
            NewCyclic => DEBUG "refscope::new_cyclic",
            FromStd => DEBUG "refscope::from_std",
            CopyOnWrite => DEBUG "refscope::copy_on_write",
            WeakFromStd => DEBUG "refscope::weak_from_std",
            Label => DEBUG "refscope::label",
            Allow => DEBUG "refscope::allow",
            Leak => DEBUG "refscope::leak",
            Clone => TRACE "refscope::clone",
            Upgrade => TRACE "refscope::upgrade",
            UpgradeFailed => TRACE "refscope::upgrade_failed",
            Downgrade => TRACE "refscope::downgrade",
            WeakClone => TRACE "refscope::weak_clone",
            Drop => TRACE "refscope::drop",
            WeakDrop => TRACE "refscope::weak_drop",
            MovedOut => TRACE "refscope::moved_out",
            IntoInner => TRACE "refscope::into_inner",
            IntoRaw => TRACE "refscope::into_raw",
            FromRaw => TRACE "refscope::from_raw",
            WeakIntoRaw => TRACE "refscope::weak_into_raw",
            WeakFromRaw => TRACE "refscope::weak_from_raw",
            IntoStd => TRACE "refscope::into_std",
            WeakIntoStd => TRACE "refscope::weak_into_std",
        }
    }
}
