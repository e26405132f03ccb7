use super::Part;
use super::leak_report::{Leak, is_not_first};
use crate::event::{Kind, Op, Strength};
use crate::model::LiveObject;
use crate::text::{bytes, count, plural};

/// The next step that a person would take, from what is known: the shape of the group, and its operations.
pub(super) fn help(leak: &Leak) -> String {
    let objects = leak.objects.len() as u64;
    let strong = |object: &LiveObject| object.strong_handles().count() as u64;
    if leak.objects.iter().all(|object| strong(object) == 0) {
        return without_strong(leak);
    }
    let line = match &leak.cause.location {
        Some(location) => location.to_string(),
        None => "a line that is not known".to_owned(),
    };
    if leak.cause.raw {
        return raw(leak, &line);
    }
    if leak.in_cycle {
        return "these objects hold each other, and nothing else holds them: let the handle that this line makes be a \
                `Weak`"
            .to_owned();
    }
    if let Some(help) = held(leak) {
        return help;
    }
    let made_here: u64 = (leak.handles.iter())
        .filter(|group| group.is_fault)
        .fold(0, |sum, group| sum.saturating_add(group.count));
    let again = leak.fault().is_some_and(is_not_first);
    match (objects, made_here, again) {
        (1, 1, true) => {
            "find where the handle that this line makes is stored, and drop it there".to_owned()
        }
        (1, n, true) => format!(
            "{} handles of one object, made on this line, are alive: find what collects them, and what should remove \
             them there",
            count(n)
        ),
        (1, _, false) => "its first handle is alive: in a local that is still in scope, in what is alive itself (another \
                          object, a static, a thread), or forgotten"
            .to_owned(),
        (n, _, false) => format!(
            "{}, each held by its first handle alone: find what collects them, and what should remove them from it",
            plural(n, "object")
        ),
        (n, made, true) if n > 2 && made == n => format!(
            "{}, held once each by what this line makes: a collection that grows. Find what should remove them from it",
            plural(n, "object")
        ),
        (_, n, _) => format!(
            "{} that this line made are alive: find where they are stored, and what should drop them",
            plural(n, "handle")
        ),
    }
}

/// Where one thing that may well be right holds all of them.
fn held(leak: &Leak) -> Option<String> {
    let (part, &count) = leak.parts.iter().next()?;
    if count != leak.count() {
        return None;
    }
    let (them, condition) = match part {
        // It cannot be called by a name.
        Part::Static(name) if name.is_empty() => {
            (format!("remove {} there", it(count)), "allow(…)".to_owned())
        }
        Part::Static(name) | Part::Thread(name) => {
            // A static's own name, without its module's.
            let name = name.rsplit("::").next().unwrap_or(name);
            (format!("remove {} there", it(count)), format!("may_be_held_by({name:?})"))
        }
        Part::Stack(_) => (
            format!("end the local before, or drop {} there", it(count)),
            "locals_may_hold()".to_owned(),
        ),
        _ => return None,
    };
    Some(format!("{part}: where that is right, `Check::{condition}` allows it; else {them}"))
}

fn it(count: u64) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

fn without_strong(leak: &Leak) -> String {
    if leak.objects.iter().any(|object| object.strong > 0) {
        return "its handles were made before the recording begins: record from its allocation on"
            .to_owned();
    }
    if leak.objects.iter().all(|object| object.handles.is_empty()) {
        return "no handle is known: events were lost".to_owned();
    }
    debug_assert!(leak.cause.strength == Strength::Weak);
    format!(
        "the value is gone, but {} of memory are kept by weak handles: drop them as well, or let them go when `upgrade` \
         fails",
        bytes(leak.objects.iter().fold(0, |sum, object| sum.saturating_add(object.size)))
    )
}

fn raw(leak: &Leak, line: &str) -> String {
    match (leak.cause.op, leak.example().kind) {
        (Some(Op::Leak), _) => format!(
            "`leak` at {line} gave the value up for good: mark what is meant to stay by `refscope::allow_leak`, or take \
             it back by `from_raw`"
        ),
        (_, Kind::Box) => format!(
            "`into_raw` at {line} made a raw pointer of it: take it back by `from_raw`, or mark it by \
             `refscope::allow_leak`"
        ),
        _ => format!("`into_raw` at {line} made a raw pointer of it: each needs one `from_raw`"),
    }
}
