//! The handles of one object, in the rows of a report.

use super::{ReportStyle, Sources};
use crate::analysis::groups_of_handles;
use crate::event::{HandleId, Time};
use crate::model::Handle;
use crate::render::age;
use crate::render::names::Names;

/// Returns a row for the handle that was asked, and for the others one for those that were made alike: plain text, 80 columns
/// wide.
pub(crate) fn handles_of_one(handles: &[Handle], asked: HandleId, now: Time) -> String {
    let steps = handles.iter().flat_map(|handle| handle.path.iter().chain(&handle.left));
    let names = Names::new(steps.filter_map(|step| step.location.as_ref()));
    let sources = Sources::new(None);
    let style = ReportStyle { color: false, ascii: true, width: 80, sources, names };
    let (own, others): (Vec<_>, Vec<_>) = handles.iter().partition(|handle| handle.id == asked);
    let mut text = String::new();
    for (group, is_asked) in groups_of_handles(own.into_iter())
        .into_iter()
        .map(|group| (group, true))
        .chain(groups_of_handles(others.into_iter()).into_iter().map(|group| (group, false)))
    {
        let youngest = age(group.example.created.until(now));
        let mut notes = vec![match group.count {
            1 => youngest,
            _ => format!("{youngest} (the youngest)"),
        }];
        if is_asked {
            notes.push("<- asked".to_owned());
        }
        let _ = style.holder(&group, &notes, &mut text);
    }
    text
}
