//! Groups what is alive by the line that keeps it so.

use super::fingerprint::Fingerprint;
use super::help::Help;
use super::leak_report::{HandleGroup, Leak, is_not_first};
use super::retention::InCycle;
use super::{Part, Retention};
use crate::event::{Kind, Location, ObjectId, Op, Strength, Time};
use crate::model::{Handle, LiveObject, PathStep};
use crate::stack::StackId;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What keeps objects alive: a line, and what it does there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Cause {
    /// The line that made the handles, or by which they became raw pointers or were leaked. The user's line, where std's
    /// or a derive's made them and the stack is known.
    pub location: Option<Location>,
    /// What it did.
    pub op: Option<Op>,
    /// Whether the handles keep the values alive, or only the memory.
    pub strength: Strength,
    /// Whether the handles are raw pointers, or were leaked.
    pub raw: bool,
}

/// The objects of one cause.
#[derive(Default)]
struct Group {
    objects: Vec<LiveObject>,
    retained: Vec<LiveObject>,
    in_cycle: bool,
    /// Whether its line makes handles that are part of its cycles; and further lines that do.
    other_lines: Option<BTreeSet<Location>>,
    parts: BTreeMap<Part, u64>,
}

/// How often it is looked which objects hang on a group: groups that hang on each other in so many steps are all found.
const MOST_GROUPS_ABOVE: usize = 16;

/// The user's lines of stacks, resolved once.
#[derive(Default)]
struct Lines(HashMap<StackId, Option<Location>>);

impl Lines {
    fn cause(&mut self, object: &LiveObject) -> Cause {
        let Some(handle) = object.fault() else {
            return Cause { location: None, op: None, strength: Strength::Strong, raw: false };
        };
        let step = made_by(handle);
        let (op, strength) = (step.map(|step| step.op), handle.strength);
        Cause { location: self.line(handle), op, strength, raw: handle.raw }
    }

    /// The line that made a handle, or by which it became a raw pointer.
    fn line(&mut self, handle: &Handle) -> Option<Location> {
        let step = made_by(handle)?;
        let mut location = step.location.clone();
        if handle.left.is_none()
            && let Some(stack) = handle.stack
            && location.as_ref().is_some_and(|location| !location.is_user())
        {
            let line = self.0.entry(stack).or_insert_with(|| Some(handle.user_lines()?.0));
            location = line.clone().or(location);
        }
        location
    }

    /// The line that makes the references back in the objects' cycles. By the name of the field that they stand in; else, since
    /// an object lives by its first handle or by those made from it, the others where a cycle has first ones. `None`: nothing
    /// tells, or one says this and the other that.
    fn back(&mut self, objects: &[&LiveObject], retention: Option<&Retention>) -> Option<Location> {
        let retention = retention?;
        let handles = objects.iter().flat_map(|object| &object.handles);
        let in_cycle = handles.filter_map(|handle| Some((handle, retention.in_cycle(handle.id)?)));
        let (mut others, first): (Vec<_>, Vec<_>) =
            in_cycle.partition(|(handle, _)| is_not_first(handle));
        let most = others.iter().map(|(_, place)| *place).max()?;
        if most == InCycle::Back {
            others.retain(|(_, place)| *place == InCycle::Back);
        } else if first.iter().any(|(_, place)| *place > most) {
            return None;
        }
        let lines: BTreeSet<Option<Location>> =
            others.into_iter().map(|(handle, _)| self.line(handle)).collect();
        if lines.len() == 1 { lines.into_iter().next()? } else { None }
    }
}

/// Groups objects by cause.
pub(super) fn find_causes(
    objects: Vec<LiveObject>,
    now: Time,
    retention: Option<&Retention>,
) -> Vec<Leak> {
    let mut lines = Lines::default();
    let causes: Vec<Cause> = objects.iter().map(|object| lines.cause(object)).collect();
    let indices: BTreeMap<ObjectId, usize> =
        objects.iter().enumerate().map(|(index, object)| (object.id, index)).collect();
    // The index of the object that each hangs on; its own, if on none.
    let mut tops: Vec<usize> = (0..objects.len()).collect();
    let mut in_cycle = BTreeMap::new();
    // The index of an object whose cause is that of a group of objects, where each hangs on some of those.
    let mut groups_above: Vec<Option<usize>> = vec![None; objects.len()];
    if let Some(retention) = retention {
        for cycle in retention.cycles() {
            let members: Vec<usize> =
                cycle.iter().filter_map(|id| indices.get(id).copied()).collect();
            if let Some(top) = top_of_cycle(&objects, &members, retention) {
                in_cycle.insert(top, other_lines(&causes, &objects, &members, top, retention));
                members.iter().for_each(|&member| tops[member] = top);
            }
        }
        let containers = containers(&objects, &causes, retention);
        let top_ids = retention.tops(
            indices.keys().copied(),
            |id| indices.contains_key(&id),
            |id| containers.contains(&id),
        );
        for (index, object) in objects.iter().enumerate() {
            let top = indices[&top_ids[&object.id]];
            // One that hangs on a member of a cycle hangs on the cycle.
            if top != index {
                tops[index] = tops[top];
            }
        }
        let is_fixed =
            |top: usize| in_cycle.contains_key(&top) || containers.contains(&objects[top].id);
        for _ in 0..MOST_GROUPS_ABOVE {
            let mut has_changed = false;
            for index in (0..objects.len()).filter(|&at| tops[at] == at && !is_fixed(at)) {
                let above = |&holder: &ObjectId| {
                    let top = tops[*indices.get(&holder)?];
                    let top = group_of(&groups_above, top);
                    (!containers.contains(&objects[top].id)).then_some(top)
                };
                let mut holders = retention.holders(objects[index].id).iter().map(above);
                if groups_above[index].is_none()
                    && let Some(Some(first)) = holders.next()
                    && causes[first] != causes[index]
                    && holders.all(|top| top.is_some_and(|top| causes[top] == causes[first]))
                {
                    groups_above[index] = Some(first);
                    has_changed = true;
                }
            }
            if !has_changed {
                break;
            }
        }
    }
    let part = |object: &LiveObject| match retention.map(|r| r.part(object.id)) {
        None | Some(Part::Unknown) => None,
        Some(part) => Some(part),
    };
    let key = |top: usize| causes[group_of(&groups_above, top)].clone();
    let keys: Vec<Cause> = tops.iter().map(|&top| key(top)).collect();
    let mut groups: BTreeMap<Cause, Group> = BTreeMap::new();
    for ((index, object), key) in objects.into_iter().enumerate().zip(keys) {
        let group = groups.entry(key).or_default();
        if let Some(others) = in_cycle.remove(&index) {
            group.in_cycle = true;
            if let Some(others) = others {
                group.other_lines.get_or_insert_default().extend(others);
            }
        }
        if let Some(part) = part(&object) {
            *group.parts.entry(part).or_default() += 1;
        }
        let is_top = tops[index] == index && groups_above[index].is_none();
        if is_top { &mut group.objects } else { &mut group.retained }.push(object);
    }
    let groups = groups.into_iter();
    let mut leaks: Vec<Leak> =
        groups.map(|(cause, group)| leak(cause, group, (now, retention), &mut lines)).collect();
    // They are in the order of their lines still, which is what tells those apart that nothing else does.
    tell_apart(&mut leaks);
    leaks.sort_by_key(|leak| {
        let again = leak
            .fault()
            .is_some_and(|handle| handle.strength == Strength::Strong && is_not_first(handle));
        // What leaked comes first; what nobody has searched for comes last.
        let part = leak.parts.keys().next().cloned().unwrap_or_default();
        (part, std::cmp::Reverse((again, leak.count(), leak.bytes())))
    });
    leaks
}

/// The object whose cause is that of an object, where that is one of a group that hangs on others.
fn group_of(groups_above: &[Option<usize>], mut top: usize) -> usize {
    while let Some(above) = groups_above[top] {
        top = above;
    }
    top
}

/// The objects that are as the statics or locals that hold them: what the program has one of, made there, and given to nobody. What
/// grows hangs on one, and it is not the one that grows.
fn containers(
    objects: &[LiveObject],
    causes: &[Cause],
    retention: &Retention,
) -> HashSet<ObjectId> {
    let mut counts: BTreeMap<&Cause, u64> = BTreeMap::new();
    causes.iter().for_each(|cause| *counts.entry(cause).or_default() += 1);
    let is_container = |object: &LiveObject, cause: &Cause| {
        let is_held = matches!(
            retention.part(object.id),
            Part::Static(_) | Part::ThreadLocal(_) | Part::Stack(_) | Part::Thread(_)
        );
        is_held && counts[cause] == 1 && object.fault().is_some_and(|it| !is_not_first(it))
    };
    let containers =
        objects.iter().zip(causes).filter(|(object, cause)| is_container(object, cause));
    containers.map(|(object, _)| object.id).collect()
}

/// The lines of the handles by which the objects of a cycle hold each other and that are not first ones, but for that of its
/// top; and of first ones that rather look back. `None` if the top's is no such handle.
fn other_lines(
    causes: &[Cause],
    objects: &[LiveObject],
    members: &[usize],
    top: usize,
    retention: &Retention,
) -> Option<BTreeSet<Location>> {
    let place = |handle: &Handle| retention.in_cycle(handle.id);
    let fault = objects[top].fault().filter(|fault| is_not_first(fault))?;
    let of_fault = place(fault)?;
    let handles = members.iter().flat_map(|&member| objects[member].strong_handles());
    let is_other = |handle: &&Handle| {
        place(handle).is_some_and(|place| is_not_first(handle) || place > of_fault)
    };
    let lines = handles.filter(is_other).filter_map(Handle::location);
    let lines = lines.filter(|line| line.is_user() && Some(*line) != causes[top].location.as_ref());
    Some(lines.cloned().collect())
}

/// The member by which a cycle is called: one with a handle that is not its first, that looks back, as a child's does at its
/// parent. In this order: the handle is known to be part of the cycle, and stands in a field that is called so; the member is
/// held weakly, too, by others of the cycle; the handle stands in a field, where what is owned stands in collections; its line
/// has made many handles of the member, as that of several children has; the member is the oldest. (Which of two was made last
/// depends on a tick of the clock, and differs among like cycles.)
fn top_of_cycle(objects: &[LiveObject], members: &[usize], retention: &Retention) -> Option<usize> {
    members.iter().copied().max_by_key(|&member| {
        let object = &objects[member];
        let fault = object.fault();
        let again = fault.is_some_and(is_not_first);
        let place = fault.and_then(|fault| retention.in_cycle(fault.id));
        let is_weak_elsewhere = place.is_some() && retention.has_weak_counterpart(object.id);
        let is_alike = |handle: &&Handle| {
            retention.in_cycle(handle.id).is_some()
                && handle.location() == fault.and_then(Handle::location)
        };
        let alike = object.strong_handles().filter(is_alike).count();
        let age = std::cmp::Reverse((object.created, object.id));
        (again, place == Some(InCycle::Back), is_weak_elsewhere, place, alike, age)
    })
}

fn leak(
    cause: Cause,
    group: Group,
    (now, retention): (Time, Option<&Retention>),
    lines: &mut Lines,
) -> Leak {
    let Group { mut objects, mut retained, in_cycle, other_lines, parts } = group;
    objects.sort_by_key(|object| object.id);
    retained.sort_by_key(|object| object.id);
    let created = objects.iter().map(|object| object.created).min().unwrap_or(now);
    let handles = handle_groups(&objects, &cause, lines);
    let mut leak = Leak {
        fingerprint: fingerprint(&cause, &objects),
        age: created.until(now),
        help: Help::EventsLost,
        cause,
        objects,
        retained,
        handles,
        parts,
        in_cycle,
    };
    let all: Vec<_> = leak.all_objects().collect();
    let back = if leak.in_cycle { lines.back(&all, retention) } else { None };
    leak.help =
        Help::of(&leak, back, other_lines.map(|lines| lines.into_iter().collect()), retention);
    leak
}

/// The handles of all objects, alike ones together.
fn handle_groups(objects: &[LiveObject], cause: &Cause, lines: &mut Lines) -> Vec<HandleGroup> {
    let handles = objects.iter().flat_map(|object| {
        let at_fault = object.fault().map(|handle| handle.id);
        let is_fault =
            move |handle: &Handle| at_fault == Some(handle.id) && handle.raw == cause.raw;
        object.handles.iter().map(move |handle| (handle, is_fault(handle)))
    });
    group(handles, lines)
}

/// The handles of one object, alike ones together.
pub(crate) fn groups_of_handles<'a>(handles: impl Iterator<Item = &'a Handle>) -> Vec<HandleGroup> {
    group(handles.map(|handle| (handle, false)), &mut Lines::default())
}

/// Handles, and whether each is at fault.
fn group<'a>(
    handles: impl Iterator<Item = (&'a Handle, bool)>,
    lines: &mut Lines,
) -> Vec<HandleGroup> {
    // Handles that came about alike share the memory of their path, mostly; it is compared once.
    let mut paths: HashMap<*const PathStep, usize> = HashMap::new();
    let mut contents: HashMap<Arc<[PathStep]>, usize> = HashMap::new();
    let mut groups: HashMap<_, HandleGroup> = HashMap::new();
    for (handle, is_fault) in handles {
        let next = contents.len();
        let path = *paths
            .entry(handle.path.as_ptr())
            .or_insert_with(|| *contents.entry(Arc::clone(&handle.path)).or_insert(next));
        let stack = handle.stack.map(|stack| line_of(stack, handle, lines));
        let key = (
            (handle.strength == Strength::Weak, handle.raw, path),
            (&handle.thread, &handle.span, &handle.left, stack),
        );
        let group = groups.entry(key).or_insert_with(|| HandleGroup {
            example: handle.clone(),
            count: 0,
            is_fault: false,
        });
        group.count += 1;
        group.is_fault |= is_fault;
        if handle.created > group.example.created {
            group.example = handle.clone();
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| {
        let key = |group: &HandleGroup| {
            let strong = group.example.strength == Strength::Strong;
            std::cmp::Reverse((group.is_fault, strong, group.count))
        };
        key(a).cmp(&key(b)).then_with(|| {
            let handle = |group: &HandleGroup| {
                let Handle { path, thread, id, .. } = &group.example;
                (Arc::clone(path), Arc::clone(thread), id.number())
            };
            handle(a).cmp(&handle(b))
        })
    });
    groups
}

/// What tells the stack of a handle from another's: its user's line, where that is known.
fn line_of(stack: StackId, handle: &Handle, lines: &mut Lines) -> Option<Location> {
    if handle.location().is_some_and(Location::is_user) {
        return None;
    }
    lines.0.entry(stack).or_insert_with(|| Some(handle.user_lines()?.0)).clone()
}

/// The operation that made a handle, or by which it became a raw pointer.
fn made_by(handle: &Handle) -> Option<&PathStep> {
    handle.left.as_ref().or(handle.last_step())
}

/// What identifies a cause, but for other causes that differ in their lines alone.
///
/// Nothing of a stack: which there are depends on what was asked for, and on whether the source could be read when the handle was made.
fn fingerprint(cause: &Cause, objects: &[LiveObject]) -> u64 {
    // The type that most of them have: a few others that come and go don't matter.
    let mut types: BTreeMap<(Kind, &Cow<'static, str>, &Location), usize> = BTreeMap::new();
    for object in objects {
        *types.entry((object.kind, &object.type_name, &object.location)).or_default() += 1;
    }
    let most = types.iter().max_by_key(|(key, count)| (**count, std::cmp::Reverse(**key)));
    let mut print = Fingerprint::new();
    if let Some(((kind, type_name, location), _)) = most {
        print.add(kind.name());
        print.add(type_name);
        print.add_file(Some(location));
    }
    print.add(&cause.strength.to_string());
    print.add(if cause.raw { "raw" } else { "" });
    print.add(cause.op.map_or("", Op::name));
    print.add_file(cause.location.as_ref());
    // Edits elsewhere in the file leave the column as it is. A derive's is its own, since its callers are known by the source
    // alone; std's differ from version to version.
    let steps = objects.iter().filter_map(LiveObject::fault).filter_map(made_by);
    let locations = steps.filter_map(|step| step.location.as_ref());
    let columns = locations.filter(|made| !made.is_std()).map(|made| made.column);
    print.add(&columns.min().map_or_else(String::new, |column| column.to_string()));
    print.get()
}

/// Gives those a fingerprint of their own that another one before them has: also in the digits that are shown.
fn tell_apart(leaks: &mut [Leak]) {
    let mut used = BTreeSet::new();
    for leak in leaks {
        let mut number = 1_u64;
        let first = leak.fingerprint;
        while !used.insert(leak.fingerprint >> 32) {
            number += 1;
            let mut print = Fingerprint::new();
            print.add(&format!("{first:016x}"));
            print.add(&number.to_string());
            leak.fingerprint = print.get();
        }
    }
}
