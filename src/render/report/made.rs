//! Who made the handle at fault: by its line, and by its stack.

use super::{ReportStyle, at};
use crate::analysis::Leak;
use crate::event::{Location, Op, Strength};
use crate::model::{Handle, LiveObject};
use crate::stack;
use crate::text::count;
use std::collections::BTreeMap;
use std::fmt;

/// Lines of a stack that are shown.
const LINES: usize = 8;

/// Stacks that are looked at for the line of what was allocated.
const STACKS: usize = 64;

/// The user's line that allocated all of these, where their own is std's or a derive's. `None` where it is not, where there are
/// several, or where one is not known.
pub(super) fn user_line(objects: &[&LiveObject]) -> Option<Location> {
    let by_stack: BTreeMap<_, _> = objects.iter().map(|object| (object.stack, object)).collect();
    if by_stack.len() > STACKS {
        return None;
    }
    let mut lines = by_stack.values().map(|object| object.user_line());
    let first = lines.next()??;
    lines.all(|line| line.as_ref() == Some(&first)).then_some(first)
}

impl ReportStyle<'_> {
    /// Who made the handle at fault, where it wasn't the user's line itself: std or a derive, and on whose behalf.
    pub(super) fn made_by(
        &self,
        leak: &Leak,
        holder: &Handle,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        if leak.cause.raw {
            return Ok(());
        }
        let Some(made) = holder.location().filter(|made| !made.is_user()) else {
            return self.others_made(leak, out);
        };
        let op = holder.op().unwrap_or(Op::Clone);
        let maker = if made.is_std() { "std" } else { "a derive" };
        let made = at(made);
        let text = match holder.user_lines() {
            Some((_, Some(caller))) => {
                format!("{maker} made this {op} at {made}; called from {}", at(&caller))
            }
            Some((_, None)) => format!("{maker} made this {op} at {made}"),
            None if cfg!(feature = "stacks") => {
                format!("{maker} made this {op} at {made}; its caller is not known")
            }
            None => format!(
                "{maker} made this {op} at {made}; its caller is not known without refscope's \
                 feature `stacks`"
            ),
        };
        self.row(out, "made by", &text)
    }

    /// What is said of handles that nobody knows the user's line of, where another one's is the headline.
    fn others_made(&self, leak: &Leak, out: &mut impl fmt::Write) -> fmt::Result {
        let unknown = leak.handles.iter().filter(|group| {
            group.example.strength == Strength::Strong && !group.example.has_users_line()
        });
        let unknown = unknown.filter(|group| group.example.location().is_some());
        let handles = unknown.map(|group| group.count).sum::<u64>();
        if handles == 0 {
            return Ok(());
        }
        let text = format!(
            "std or a derive made {} of these handles, for callers that are not known",
            count(handles)
        );
        self.row(out, "note", &text)
    }

    /// The stack on which the handle at fault was made, where stacks were asked for: the program's functions, and how many
    /// of others were left out.
    pub(super) fn stack(
        &self,
        leak: &Leak,
        holder: &Handle,
        out: &mut impl fmt::Write,
    ) -> fmt::Result {
        let Some(stack) = holder.stack.filter(|_| !leak.cause.raw && are_asked_for(leak)) else {
            return Ok(());
        };
        let stack = stack.resolve();
        let lines = stack.lines();
        for (number, line) in lines.iter().take(LINES).enumerate() {
            let text = match line {
                stack::Line::Frame(frame) => match Location::of_frame(frame) {
                    Some(location) => format!("{} at {}", frame.name(), at(&location)),
                    None => frame.to_string(),
                },
                folded @ stack::Line::Folded { .. } if self.ascii => {
                    folded.to_string().replace('…', "...")
                }
                folded @ stack::Line::Folded { .. } => folded.to_string(),
            };
            self.row(out, if number == 0 { "stack" } else { "" }, &text)?;
        }
        if lines.len() > LINES {
            self.row(out, "", &format!("and {} more lines", lines.len() - LINES))?;
        }
        Ok(())
    }
}

/// Whether stacks were taken of more than what std and derives made: of that they always are, for the user's line.
fn are_asked_for(leak: &Leak) -> bool {
    leak.objects.iter().any(|object| {
        let of_birth = object.stack.is_some() && object.location.is_user();
        let is_user = |handle: &Handle| handle.location().is_some_and(Location::is_user);
        of_birth || object.handles.iter().any(|it| it.stack.is_some() && is_user(it))
    })
}
