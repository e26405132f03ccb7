//! What is alive now, from the ledger.

use super::{Handle, LiveObject, PathStep};
use crate::event::{HandleId, Kind, ObjectId, Strength, Thread, Time};
use crate::runtime::entry::EntryDetails;
use crate::runtime::scope::Scope;
use crate::runtime::view::{self, HandleView};
use crate::stack::StackId;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Returns every living traced object with its handles, oldest first.
///
/// No lock is taken, and nobody is stopped: each object and handle was alive at some moment of the call, and none is
/// left out that was alive throughout. An object whose handles change hands all the while may be there without any, and so may
/// one whose last handle is being dropped.
///
/// # Examples
///
/// ```
/// use refscope::Arc;
///
/// refscope::track().expect("no sink is installed");
/// let one = Arc::new("a value");
/// let two = one.clone();
/// # if refscope::ENABLED {
/// let alive = refscope::alive();
/// assert_eq!((alive.len(), alive[0].handles.len()), (1, 2));
/// # }
/// ```
pub fn alive() -> Vec<LiveObject> {
    live_objects(|_| true)
}

impl Scope {
    /// Returns every living object that was made in this scope, or in one inside it, with its handles, oldest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use refscope::{Rc, Scope};
    ///
    /// let (outer, inner) = (Scope::tracking(), Scope::tracking());
    /// let kept = outer.run(|| inner.run(|| Rc::new("belongs to both")));
    /// # if refscope::ENABLED {
    /// assert_eq!((outer.alive().len(), inner.alive().len()), (1, 1));
    /// # }
    /// ```
    pub fn alive(&self) -> Vec<LiveObject> {
        let members = self.members();
        live_objects(|object| members.contains(&object.scope))
    }
}

/// Returns the numbers of all living objects, ascending.
pub(crate) fn ids() -> Vec<u64> {
    let objects = view::objects(|_| true);
    let mut ids: Vec<u64> = objects.iter().map(|object| object.object.id().number()).collect();
    ids.sort_unstable();
    ids
}

/// Returns every living object, without its handles.
pub(crate) fn living_objects() -> Vec<crate::event::Object> {
    view::objects(|_| true).iter().map(|details| details.object).collect()
}

/// Returns how many objects got a number so far: those that are traced, and those that were left out and counted.
pub(crate) fn numbered() -> u64 {
    crate::runtime::handle::numbered()
}

fn is_new(object: &EntryDetails, before: &[u64]) -> bool {
    before.binary_search(&object.object.id().number()).is_err()
}

/// Returns the living objects that are not among `before`, which [`ids`] gave.
pub(crate) fn alive_since(before: &[u64]) -> Vec<LiveObject> {
    live_objects(|object| is_new(object, before))
}

/// Returns the living objects that are in no scope, and not among `before`.
pub(crate) fn alive_outside(before: &[u64]) -> Vec<LiveObject> {
    live_objects(|object| object.scope == 0 && is_new(object, before))
}

/// Returns whether another thread can end one of the objects. An `Rc` and its handles stay on their thread.
pub(crate) fn can_end_elsewhere(objects: &[LiveObject]) -> bool {
    if objects.iter().any(|object| object.kind != Kind::Rc) {
        return true;
    }
    let ids: BTreeSet<u64> = objects.iter().map(|object| object.id.number()).collect();
    let here = Thread::current().number();
    !view::objects(|object| object.thread != here && ids.contains(&object.object.id().number()))
        .is_empty()
}

/// Returns the living object of this number.
pub(crate) fn live_object(id: u64) -> Option<LiveObject> {
    live_objects(|object| object.object.id().number() == id).pop()
}

pub(crate) fn live_objects(wanted: impl Fn(&EntryDetails) -> bool) -> Vec<LiveObject> {
    let mut objects = view::objects(wanted);
    objects.sort_unstable_by_key(number);
    let mut handles = handles_of(&objects);
    let mut order = order(&handles);
    let missing = without_handles(&objects, &order);
    if !missing.is_empty() {
        let gone = look_again(missing, &mut handles);
        objects.retain(|object| gone.binary_search(&number(object)).is_err());
        order = self::order(&handles);
    }
    let mut texts = Texts::default();
    let mut rest = &order[..];
    let mut live = Vec::with_capacity(objects.len());
    for object in &objects {
        let id = object.object.id().number();
        let count = rest.iter().take_while(|(of, ..)| *of == id).count();
        let (these, others) = rest.split_at(count);
        rest = others;
        let mut own = Vec::with_capacity(count);
        own.extend(
            these.iter().filter_map(|(.., index)| texts.handle(&handles[*index as usize], object)),
        );
        live.push(texts.object(object, own));
    }
    live
}

fn number(object: &EntryDetails) -> u64 {
    object.object.id().number()
}

/// The living handles of objects, which are in order.
fn handles_of(objects: &[EntryDetails]) -> Vec<HandleView> {
    let first = objects.first().map_or(0, number);
    view::handles(|id| {
        // Most programs have objects alive whose numbers follow one another: then it stands there.
        let guess = objects.get(id.wrapping_sub(first) as usize);
        guess.is_some_and(|object| number(object) == id)
            || objects.binary_search_by_key(&id, number).is_ok()
    })
}

/// The handles by object and number: those two, and where the handle is.
fn order(handles: &[HandleView]) -> Vec<(u64, u64, u32)> {
    let mut order: Vec<_> = (handles.iter().zip(0..))
        .map(|(handle, index)| (handle.object, handle.details.number, index))
        .collect();
    order.sort_unstable();
    order
}

/// The numbers of the objects that have no handle. Both are in order.
fn without_handles(objects: &[EntryDetails], order: &[(u64, u64, u32)]) -> Vec<u64> {
    let mut order = order.iter().map(|&(object, ..)| object).peekable();
    let mut has_one = |id: &u64| {
        while order.next_if(|object| object < id).is_some() {}
        order.peek() == Some(id)
    };
    objects.iter().map(number).filter(|id| !has_one(id)).collect()
}

/// How often handles are looked for that were not seen.
const LOOKS: u32 = 4;

/// Looks again for handles of objects of which none was seen, and adds them. Such an object has ended since its entry was
/// read; or its handle was handed on, from a place that was not read yet to one that was. If it is not seen then either, the
/// object is alive all the same, without a handle that could be named. Returns those that have ended, in order.
fn look_again(mut missing: Vec<u64>, handles: &mut Vec<HandleView>) -> Vec<u64> {
    let all = missing.clone();
    let (mut seen, mut left) = (Vec::new(), Vec::new());
    for look in 0..LOOKS {
        if look > 0 {
            // A thread that was interrupted between a handle's end and its object's.
            std::thread::yield_now();
        }
        left = view::objects(|object| missing.binary_search(&number(object)).is_ok());
        if left.is_empty() {
            break;
        }
        left.sort_unstable_by_key(number);
        let found = handles_of(&left);
        let order = order(&found);
        missing = without_handles(&left, &order);
        handles.extend(found);
        let has_none = |object: &EntryDetails| missing.binary_search(&number(object)).is_ok();
        seen.extend(left.iter().filter(|object| !has_none(object)).map(number));
        left.retain(has_none);
    }
    // The last handle of one that is being dropped is gone while its value still is.
    seen.extend(left.iter().filter(|object| object.position.strong > 0).map(number));
    seen.sort_unstable();
    all.into_iter().filter(|id| seen.binary_search(id).is_err()).collect()
}

/// What is made once of what many handles have alike.
#[derive(Default)]
struct Texts {
    threads: Memo<Arc<str>>,
    paths: Memo<Arc<[PathStep]>>,
    spans: Memo<Option<Arc<str>>>,
}

/// What was made of a number, with the last one at hand: neighbours are often alike.
struct Memo<T> {
    all: HashMap<u32, T>,
    last: Option<(u32, T)>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { all: HashMap::new(), last: None }
    }
}

impl<T: Clone> Memo<T> {
    fn get(&mut self, number: u32, make: impl FnOnce() -> T) -> T {
        match &self.last {
            Some((last, made)) if *last == number => made.clone(),
            _ => {
                let made = self.all.entry(number).or_insert_with(make).clone();
                self.last = Some((number, made.clone()));
                made
            }
        }
    }
}

impl Texts {
    fn thread(&mut self, number: u32) -> Arc<str> {
        let name = || Thread::from_number(number).map_or_else(String::new, |t| t.to_string());
        self.threads.get(number, || name().into())
    }

    fn span(&mut self, span: u32) -> Option<Arc<str>> {
        self.spans.get(span, || crate::span::text(span).map(Arc::from))
    }

    fn path(&mut self, path: u32) -> Arc<[PathStep]> {
        self.paths.get(path, || {
            let steps = view::path(path).into_iter();
            steps.map(|((op, site), cut)| PathStep::new(op, Some(site.into()), cut)).collect()
        })
    }

    fn object(&mut self, details: &EntryDetails, handles: Vec<Handle>) -> LiveObject {
        let object = &details.object;
        LiveObject {
            id: object.id(),
            kind: object.kind(),
            type_name: object.type_name().into(),
            label: object.label().map(str::to_owned),
            size: object.size(),
            location: object.location(),
            thread: self.thread(details.thread),
            created: Time::from_nanos(details.time),
            strong: details.position.strong,
            allowed: details.allowed,
            span: self.span(details.span),
            stack: StackId::new(details.stack),
            handles,
        }
    }

    fn handle(&mut self, view: &HandleView, object: &EntryDetails) -> Option<Handle> {
        let details = &view.details;
        let op = details.op?;
        let from = match (details.number, object.parent) {
            (1, parent) => parent,
            _ => (details.parent != 0).then_some((view.object, details.parent)),
        };
        let id = |of: u64, number| HandleId::new(ObjectId::from_number(of), number);
        Some(Handle {
            id: id(view.object, details.number),
            strength: op.makes().unwrap_or(Strength::Strong),
            path: self.path(details.path),
            from: from.map(|(of, number)| id(of, number)),
            thread: self.thread(details.thread),
            created: Time::from_nanos(details.time),
            raw: details.raw,
            left: self.path(details.left).last().cloned(),
            span: self.span(details.span),
            stack: StackId::new(details.stack),
        })
    }
}
