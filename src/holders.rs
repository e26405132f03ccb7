//! What can be asked of a pointer: [`holders`], [`label`], [`unbox`].

use crate::event::{HandleId, Object, Strength, Time};
use crate::model::Handle;
use crate::sealed::Sealed;
use crate::text::count;
use std::fmt;

/// What the ledger knows of an object.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct ObjectStatus {
    pub(crate) object: Object,
    pub(crate) handle: HandleId,
    pub(crate) events: u64,
    pub(crate) strong: u32,
    pub(crate) withheld: u32,
}

/// Pointers that can be asked who holds their object: the five traced ones, and std's, of which nothing is
/// known. Sealed.
pub trait Inspect: Sealed {
    #[doc(hidden)]
    fn status(&self) -> Option<ObjectStatus>;
    #[doc(hidden)]
    fn counts(&self) -> (usize, usize);
    #[doc(hidden)]
    #[track_caller]
    fn name(&self, text: &str);
    #[doc(hidden)]
    fn watched(&self) -> Option<Watched>;
    #[doc(hidden)]
    #[track_caller]
    fn allow(&self);
}

/// An object that is watched.
#[doc(hidden)]
#[derive(Debug)]
pub struct Watched {
    #[cfg(feature = "trace")]
    entry: crate::runtime::handle::WatchedEntry,
    #[cfg(not(feature = "trace"))]
    never: std::convert::Infallible,
}

impl Watched {
    #[cfg(feature = "trace")]
    pub(crate) fn strong(&self) -> u32 {
        self.entry.strong()
    }

    #[cfg(feature = "trace")]
    pub(crate) fn report(&self) -> Option<crate::analysis::LeakReport> {
        let object = crate::model::live_object(self.entry.id())?;
        Some(crate::analysis::LeakReport::new([object], Time::coarse()))
    }

    #[cfg(not(feature = "trace"))]
    pub(crate) fn strong(&self) -> u32 {
        match self.never {}
    }

    #[cfg(not(feature = "trace"))]
    pub(crate) fn report(&self) -> Option<crate::analysis::LeakReport> {
        match self.never {}
    }
}

#[cfg(feature = "trace")]
macro_rules! traced {
    ($($Ptr:ty: |$this:ident| $counts:expr;)*) => {$(
        impl<T: ?Sized> Inspect for $Ptr {
            fn status(&self) -> Option<ObjectStatus> {
                let status = crate::runtime::handle::Identity::from(&*crate::repr::Repr::identity(self)).status()?;
                Some(ObjectStatus {
                    object: status.object,
                    handle: status.handle,
                    events: status.position.seq,
                    strong: status.position.strong,
                    withheld: status.withheld,
                })
            }

            fn counts(&self) -> (usize, usize) {
                let $this = self;
                $counts
            }

            #[track_caller]
            fn name(&self, text: &str) {
                crate::runtime::handle::Identity::from(&*crate::repr::Repr::identity(self)).label(text);
            }

            fn watched(&self) -> Option<Watched> {
                let entry = crate::runtime::handle::Identity::from(&*crate::repr::Repr::identity(self)).watched()?;
                Some(Watched { entry })
            }

            #[track_caller]
            fn allow(&self) {
                crate::runtime::handle::Identity::from(&*crate::repr::Repr::identity(self)).allow();
            }
        }
    )*};
}

#[cfg(feature = "trace")]
traced! {
    crate::boxed::Box<T>: |_this| (1, 0);
    crate::rc::Rc<T>: |this| (Self::strong_count(this), Self::weak_count(this));
    crate::rc::Weak<T>: |this| (this.strong_count(), this.weak_count());
    crate::sync::Arc<T>: |this| (Self::strong_count(this), Self::weak_count(this));
    crate::sync::Weak<T>: |this| (this.strong_count(), this.weak_count());
}

macro_rules! untraced {
    ($($Ptr:ty: |$this:ident| $counts:expr;)*) => {$(
        impl<T: ?Sized> Inspect for $Ptr {
            fn status(&self) -> Option<ObjectStatus> {
                None
            }

            fn counts(&self) -> (usize, usize) {
                let $this = self;
                $counts
            }

            fn name(&self, _: &str) {}

            fn watched(&self) -> Option<Watched> {
                None
            }

            fn allow(&self) {}
        }
    )*};
}

untraced! {
    std::boxed::Box<T>: |_this| (1, 0);
    std::rc::Rc<T>: |this| (Self::strong_count(this), Self::weak_count(this));
    std::rc::Weak<T>: |this| (this.strong_count(), this.weak_count());
    std::sync::Arc<T>: |this| (Self::strong_count(this), Self::weak_count(this));
    std::sync::Weak<T>: |this| (this.strong_count(), this.weak_count());
}

/// Returns who holds the object that `pointer` points to, now.
///
/// The answer prints the living handles as reports do, those that were made alike together: strong or weak, the lines that each was
/// handed on through, its thread and age; and what refscope could not know. It comes from the ledger, whatever the sink is.
///
/// # Examples
///
/// ```
/// use refscope::Rc;
///
/// refscope::track().expect("no sink is installed");
/// let one = Rc::new("kept by two");
/// let two = one.clone();
/// let holders = refscope::holders(&one);
/// # if refscope::ENABLED {
/// assert_eq!(holders.strong().len(), 2);
/// # }
/// println!("{holders}");
/// ```
///
/// # Cost
///
/// It reads the places of all living handles: some 20 ms for a million.
pub fn holders<P: Inspect>(pointer: &P) -> Holders {
    // The counts first: a handle that ends meanwhile is then one too few, not one too many.
    let (std_strong, std_weak) = pointer.counts();
    let status = pointer.status();
    let live = status.and_then(|status| crate::model::live_object(status.object.id().number()));
    let handles = live.map_or_else(Vec::new, |live| live.handles);
    Holders { status, handles, std_strong, std_weak, now: Time::coarse() }
}

/// Gives the object that `pointer` points to a label, which every later report shows.
///
/// Label texts are kept, each once, for the life of the process, up to 65,536 of them. Nothing happens where tracing is
/// off or the object is untraced. Emits [`Op::Label`](crate::event::Op::Label).
///
/// # Examples
///
/// ```
/// let cache = refscope::Arc::new(vec![0; 1024]);
/// refscope::label(&cache, "page cache");
/// ```
#[track_caller]
pub fn label<P: Inspect>(pointer: &P, text: &str) {
    pointer.name(text);
}

/// Marks the object that `pointer` points to as meant to stay: leak checks count it, and do not report it. Emits
/// [`Op::Allow`](crate::event::Op::Allow).
///
/// # Examples
///
/// ```
/// use refscope::Arc;
///
/// refscope::leaks::check(|| {
///     let pool = Arc::new([0_u8; 64]);
///     refscope::allow_leak(&pool);
///     std::mem::forget(pool);
/// });
/// ```
#[track_caller]
pub fn allow_leak<P: Inspect>(pointer: &P) {
    pointer.allow();
}

/// Moves the value out of a box: `*boxed`, in words that compile with tracing on and off.
///
/// # Examples
///
/// ```
/// use refscope::Box;
///
/// let boxed = Box::new(String::from("mine"));
/// let text: String = refscope::unbox(boxed);
/// ```
#[track_caller]
#[allow(clippy::boxed_local)] // when tracing is off, it is std's box
pub fn unbox<T>(boxed: crate::boxed::Box<T>) -> T {
    #[cfg(feature = "trace")]
    return crate::boxed::Box::into_inner(boxed);
    #[cfg(not(feature = "trace"))]
    return *boxed;
}

/// Who holds an object. Returned by [`holders`].
#[must_use = "it is to be printed or looked at"]
#[derive(Debug)]
pub struct Holders {
    status: Option<ObjectStatus>,
    handles: Vec<Handle>,
    std_strong: usize,
    std_weak: usize,
    now: Time,
}

impl Holders {
    /// Returns the object, or `None` if it is untraced.
    pub fn object(&self) -> Option<&Object> {
        self.status.as_ref().map(|status| &status.object)
    }

    /// Returns the handle that was asked.
    pub fn asked(&self) -> Option<HandleId> {
        self.status.map(|status| status.handle)
    }

    /// Returns the number of traced strong handles.
    pub fn strong_count(&self) -> u32 {
        self.status.map_or(0, |status| status.strong)
    }

    /// Returns how many events the object has had.
    pub fn events(&self) -> u64 {
        self.status.map_or(0, |status| status.events)
    }

    /// Returns every living handle, by number.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Returns the strong handles: those that keep the value alive.
    pub fn strong(&self) -> Vec<&Handle> {
        self.handles.iter().filter(|handle| handle.strength == Strength::Strong).collect()
    }

    /// Returns what could not be known, a sentence each.
    pub fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        let Some(status) = &self.status else {
            caveats.push(if crate::ENABLED {
                "The object is untraced: nothing asked for it when it was allocated (`refscope::track()` does), or \
                 a filter left it out."
                    .to_owned()
            } else {
                "Tracing is off: refscope is built without its feature `trace`.".to_owned()
            });
            return caveats;
        };
        let found = self.strong().len();
        if found as u64 != u64::from(status.strong) {
            caveats.push(format!(
                "The count was {} while the handles were read, {} of them: others changed meanwhile.",
                count(status.strong.into()),
                count(found as u64)
            ));
        }
        if status.withheld > 0 {
            caveats.push(format!(
                "{} withheld, since they happened inside a sink.",
                crate::render::plural(status.withheld.into(), "event")
            ));
        }
        if self.std_strong as u64 > u64::from(status.strong) {
            caveats.push(format!(
                "std counts {} strong handles, {} of them traced: the others were made through \
                 `into_std`, `as_std` or a raw pointer.",
                count(self.std_strong as u64),
                count(status.strong.into())
            ));
        }
        caveats
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Kept to the width of a plain report.
        let fold = |text: &str, first: &str, further: &str| {
            crate::render::Terminal::plain(80).fold(text, first, further)
        };
        let mut text = String::new();
        let counts = format!(
            "{} strong, {} weak",
            count(self.std_strong as u64),
            count(self.std_weak as u64)
        );
        match &self.status {
            None => text.push_str(&fold(&counts, "", "  ")),
            Some(ObjectStatus { object, handle: asked, .. }) => {
                text.push_str(&fold(&format!("{object}: {counts}"), "", "  "));
                let bytes = crate::render::bytes(object.size());
                let allocated = format!("allocated {}, {bytes}", object.location());
                text.push_str(&fold(&allocated, "  ", "    "));
                text.push_str(&crate::render::handles_of_one(&self.handles, *asked, self.now));
            }
        }
        for caveat in self.caveats() {
            text.push_str(&fold(&caveat, "  note: ", "        "));
        }
        if !self.handles.is_empty() {
            let said = "Locations show where a handle was created, not where it is stored.";
            text.push_str(&fold(said, "  ", "  "));
        }
        f.write_str(text.trim_end())
    }
}
