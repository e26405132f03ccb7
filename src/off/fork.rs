//! Forks, when tracing is off: nothing happens that would have to be kept apart.

#[derive(Clone, Copy, Debug)]
pub(crate) struct Process;

impl Process {
    pub(crate) fn current() -> Self {
        Self
    }

    pub(crate) fn is_current(self) -> bool {
        true
    }
}

pub(crate) fn warn_unrecorded() {}
