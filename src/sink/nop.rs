use super::{Route, Sink};
use crate::event::Event;
use crate::runtime::dispatch::{InstallError, install, is_switched_off};
use std::sync::OnceLock;

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

/// Tracks every object that is allocated from now on, without a history: what is alive, and who holds it.
///
/// May be called again, by several tests of one program for example. A sink that the environment asked for (`REFSCOPE=…`) goes on
/// getting the objects that it wants.
///
/// # Errors
///
/// When another sink has been installed already, which tracks the objects that it wants; and after
/// [`switch_off`](crate::switch_off), which is for good. [`Scope::tracking`](crate::Scope::tracking) tracks in either case.
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
    static TRACKS: OnceLock<bool> = OnceLock::new();
    let tracks = *TRACKS.get_or_init(|| install(Nop).is_ok());
    if tracks && !is_switched_off() { Ok(()) } else { install(Nop) }
}
