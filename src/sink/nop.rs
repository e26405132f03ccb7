use super::{Route, Sink};
use crate::event::Event;
use crate::runtime::dispatch::{InstallError, install};

/// Wants every object, and no events: what is alive is known without a history.
///
/// [`track`](crate::track) installs it.
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, sink};
///
/// let scope = Scope::new(sink::Nop);
/// let kept = scope.run(|| Rc::new("kept"));
/// # if refscope::ENABLED {
/// assert_eq!(scope.alive()[0].handles.len(), 1);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Nop;

impl Sink for Nop {
    fn event(&self, _: &Event) {}

    fn route(&self) -> Route {
        Route { log: None, events: false, filters: false }
    }
}

/// Has every object tracked that is made from now on, without a history: what is alive, and who holds it.
///
/// # Errors
///
/// When a sink has been installed already: then objects are tracked as well.
///
/// # Examples
///
/// ```
/// refscope::track().expect("no sink is installed");
/// let one = refscope::Rc::new(1);
/// # if refscope::ENABLED {
/// assert_eq!(refscope::alive().len(), 1);
/// # }
/// ```
pub fn track() -> Result<(), InstallError<Nop>> {
    install(Nop)
}
