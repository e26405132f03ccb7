//! What can be asked of a pointer: [`holders`], [`label`], [`unbox`].

use crate::event::{Handle, HandleId, Object, Strength, Time};
use crate::sealed::Sealed;
use std::fmt;

/// What the ledger and the object's sink know of an object.
#[doc(hidden)]
#[derive(Debug)]
pub struct Known {
    pub(crate) object: Object,
    pub(crate) handle: HandleId,
    pub(crate) events: u64,
    pub(crate) strong: u32,
    pub(crate) withheld: u32,
    pub(crate) handles: Option<Vec<Handle>>,
}

/// Pointers that can be asked who holds their object: the five traced ones, and std's, of which nothing is
/// known. Sealed.
pub trait Traced: Sealed {
    #[doc(hidden)]
    fn known(&self) -> Option<Known>;
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
    entry: crate::ticket::WatchedEntry,
    #[cfg(not(feature = "trace"))]
    never: std::convert::Infallible,
}

impl Watched {
    #[cfg(feature = "trace")]
    pub(crate) fn strong(&self) -> u32 {
        self.entry.strong()
    }

    #[cfg(feature = "trace")]
    pub(crate) fn leaks(&self) -> Option<crate::analysis::LeakReport> {
        self.entry.living().map(|living| crate::analysis::LeakReport::new([living], Time::coarse()))
    }

    #[cfg(not(feature = "trace"))]
    pub(crate) fn strong(&self) -> u32 {
        match self.never {}
    }

    #[cfg(not(feature = "trace"))]
    pub(crate) fn leaks(&self) -> Option<crate::analysis::LeakReport> {
        match self.never {}
    }
}

#[cfg(feature = "trace")]
macro_rules! traced {
    ($($Ptr:ty: |$this:ident| $counts:expr;)*) => {$(
        impl<T: ?Sized> Traced for $Ptr {
            fn known(&self) -> Option<Known> {
                traced!(@identity self).and_then(|identity| identity.known())
            }

            fn counts(&self) -> (usize, usize) {
                let $this = self;
                $counts
            }

            #[track_caller]
            fn name(&self, text: &str) {
                if let Some(identity) = traced!(@identity self) {
                    identity.label(text);
                }
            }

            fn watched(&self) -> Option<Watched> {
                let entry = traced!(@identity self).and_then(|identity| identity.watched())?;
                Some(Watched { entry })
            }

            #[track_caller]
            fn allow(&self) {
                if let Some(identity) = traced!(@identity self) {
                    identity.allow();
                }
            }
        }
    )*};
    (@identity $this:ident) => { Some(crate::ticket::Identity::from(&$this.ticket)) };
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
        impl<T: ?Sized> Traced for $Ptr {
            fn known(&self) -> Option<Known> {
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

/// Who holds the object that `pointer` points to, now.
///
/// The answer prints: every living handle with the line that made it, the handle it was made from, its
/// thread and age, strong or weak, and what refscope could not know.
///
/// The counts come from the ledger, exact at some moment during the call; the handles come from the
/// object's sink, if it keeps them ([`LiveSet`](crate::sink::LiveSet) does, and
/// [`Recorder`](crate::sink::Recorder), which has to read all it recorded).
///
/// # Examples
///
/// ```
/// use refscope::{Rc, Scope, sink::LiveSet};
///
/// let _guard = Scope::new(LiveSet::new()).enter();
/// let one = Rc::new("kept by two");
/// let two = one.clone();
/// let holders = refscope::holders(&one);
/// # if refscope::ENABLED {
/// assert_eq!(holders.strong().len(), 2);
/// # }
/// println!("{holders}");
/// ```
pub fn holders<P: Traced>(pointer: &P) -> Holders {
    // The counts first: a handle that goes meanwhile is then one too few, not one too many.
    let (std_strong, std_weak) = pointer.counts();
    Holders { known: pointer.known(), std_strong, std_weak, now: Time::coarse() }
}

/// Gives the object that `pointer` points to a label, which every later report shows.
///
/// Label texts are kept, each once, for the life of the process. Nothing happens where tracing is off or
/// the object is untraced. Tells of the [label](crate::event::Op::Label).
///
/// # Examples
///
/// ```
/// let cache = refscope::Arc::new(vec![0; 1024]);
/// refscope::label(&cache, "page cache");
/// ```
#[track_caller]
pub fn label<P: Traced>(pointer: &P, text: &str) {
    pointer.name(text);
}

/// Marks the object that `pointer` points to as one that is meant to stay: leak checks count it, and do not report it.
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
pub fn allow_leak<P: Traced>(pointer: &P) {
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

/// Who holds an object. Given by [`holders`].
#[derive(Debug)]
pub struct Holders {
    known: Option<Known>,
    std_strong: usize,
    std_weak: usize,
    now: Time,
}

impl Holders {
    /// The object. None: it is untraced.
    pub fn object(&self) -> Option<&Object> {
        self.known.as_ref().map(|known| &known.object)
    }

    /// The handle that was asked.
    pub fn asked(&self) -> Option<HandleId> {
        self.known.as_ref().map(|known| known.handle)
    }

    /// The traced strong handles, by the ledger.
    pub fn traced(&self) -> u32 {
        self.known.as_ref().map_or(0, |known| known.strong)
    }

    /// How many events the object has had.
    pub fn events(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.events)
    }

    /// Every living handle that the sink knows, oldest first.
    pub fn handles(&self) -> &[Handle] {
        self.known.as_ref().and_then(|known| known.handles.as_deref()).unwrap_or_default()
    }

    /// The strong ones of them: those that keep the value alive.
    pub fn strong(&self) -> Vec<&Handle> {
        self.handles().iter().filter(|handle| handle.strength == Strength::Strong).collect()
    }

    /// What could not be known, a sentence each.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let Some(known) = &self.known else {
            doubts.push(if crate::ENABLED {
                "The object is untraced: no sink was there when it was born, or the sink left it out."
                    .to_owned()
            } else {
                "Tracing is off: refscope is built without its feature `trace`.".to_owned()
            });
            return doubts;
        };
        match &known.handles {
            None => doubts.push(
                "The object's sink keeps no handles. `LiveSet` and `Recorder` do.".to_owned(),
            ),
            Some(_) => {
                let found = self.strong().len();
                if found as u64 != u64::from(known.strong) {
                    doubts.push(format!(
                        "The ledger has {} traced strong handles, {found} known; {} withheld inside a sink.",
                        known.strong,
                        crate::render::plural(known.withheld.into(), "event")
                    ));
                }
            }
        }
        if self.std_strong as u64 > u64::from(known.strong) {
            doubts.push(format!(
                "std counts {} strong handles, {} of them traced: the others were made through \
                 `into_std`, `as_std` or a raw pointer.",
                self.std_strong, known.strong
            ));
        }
        doubts
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(known) = &self.known else {
            write!(f, "{} strong, {} weak", self.std_strong, self.std_weak)?;
            return self.doubts().iter().try_for_each(|doubt| write!(f, "\n  note: {doubt}"));
        };
        let Known { object, handle: asked, .. } = known;
        writeln!(f, "{object}: {} strong, {} weak", self.std_strong, self.std_weak)?;
        write!(f, "  born {}, {} bytes", object.born(), object.size())?;
        let rows: Vec<[String; 4]> = (self.handles().iter())
            .map(|handle| {
                let from = match handle.from {
                    Some(from) if from.object() != object.id() => format!(" of {from}"),
                    Some(from) => format!(" of {}", from.number()),
                    None => String::new(),
                };
                let what = format!("{}{from}", handle.op.name());
                let site = handle.site.map_or_else(|| "?".to_owned(), |site| site.to_string());
                [handle.id.number().to_string(), what, site, handle.thread.to_string()]
            })
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let [a, b, c, d] = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
        for (handle, [number, what, site, thread]) in self.handles().iter().zip(&rows) {
            let age = handle.born.until(self.now);
            write!(
                f,
                "\n  {:<6} {number:>a$}  {what:<b$}  {site:<c$}  {thread:<d$}",
                handle.strength
            )?;
            write!(f, "  {}", crate::render::age(age))?;
            if handle.raw {
                write!(f, "  raw pointer")?;
            }
            if handle.id == *asked {
                write!(f, "  <- asked")?;
            }
        }
        for doubt in self.doubts() {
            write!(f, "\n  note: {doubt}")?;
        }
        if !rows.is_empty() {
            write!(f, "\n  A line says where a handle was made, not where it is stored now.")?;
        }
        Ok(())
    }
}
