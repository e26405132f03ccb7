//! What the compiler says of a program whose imports are swapped, and the edit that is the remedy.

use super::swap::{Edit, mask};
use serde_json::Value;
use std::ops::Range;
use std::path::PathBuf;

/// An error of the compiler's, as its JSON has it.
#[derive(Debug)]
pub(super) struct Diagnostic {
    pub(super) code: String,
    pub(super) message: String,
    /// The message, its labels and its notes, without quotes: what is searched in.
    text: String,
    spans: Vec<Span>,
}

#[derive(Debug)]
struct Span {
    file: PathBuf,
    at: Range<usize>,
    /// Of its beginning, from 1 on.
    line: usize,
    primary: bool,
    label: String,
}

impl Diagnostic {
    /// Reads one line of `cargo check --message-format json`. `None` for all but errors.
    pub(super) fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let message = line.get("message").filter(|message| message["level"] == "error")?;
        let mut text = String::new();
        gather(message, &mut text);
        let spans = message["spans"].as_array().into_iter().flatten().filter_map(|span| {
            // What a macro has made has no text of its own; what the compiler has made of `for` and
            // `?` has.
            let made = span["expansion"]["macro_decl_name"].as_str();
            made.is_none_or(|name| name.starts_with("desugaring of")).then(|| Span {
                file: span["file_name"].as_str().unwrap_or_default().into(),
                at: offset(span, "byte_start")..offset(span, "byte_end"),
                line: offset(span, "line_start"),
                primary: span["is_primary"] == true,
                label: span["label"].as_str().unwrap_or_default().replace('`', ""),
            })
        });
        Some(Self {
            code: message["code"]["code"].as_str().unwrap_or_default().to_owned(),
            message: message["message"].as_str().unwrap_or_default().to_owned(),
            spans: spans.collect(),
            text: text.replace('`', ""),
        })
    }

    fn primary(&self) -> Option<&Span> {
        self.spans.iter().find(|span| span.primary)
    }

    /// The file of the error. `None`: it is in what a macro has made.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        self.primary().map(|span| &span.file)
    }

    /// The line of the error, from 1 on.
    pub(super) fn line(&self) -> Option<usize> {
        self.primary().map(|span| span.line)
    }

    /// Whether the two say the same of the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let place = |error: &Self| error.primary().map(|span| (span.file.clone(), span.at.clone()));
        self.code == other.code && self.message == other.message && place(self) == place(other)
    }

    /// The remedies: each an edit of a file, whose text `source` gives.
    pub(super) fn remedies(
        &self,
        source: impl Fn(&PathBuf) -> Option<String>,
    ) -> Vec<(PathBuf, Edit)> {
        let mut edits = Vec::new();
        for span in self.spans.iter().filter(|span| span.primary) {
            let Some(text) = source(&span.file) else { continue };
            let Some(code) = text.get(span.at.clone()) else { continue };
            let edit = match self.code.as_str() {
                "E0308" => self.mismatch(span, code),
                "E0507" => self.moved_out(span, code),
                "E0277" => self.unsatisfied(span, code),
                "E0605" => self.cast(span, code),
                _ => None,
            };
            edits.extend(edit.map(|edit| (span.file.clone(), edit)));
        }
        if self.code == "E0038" || self.code == "E0053" {
            edits.extend(self.std_receiver(source));
        }
        edits
    }

    /// E0308: a coercion that only std's pointers do by themselves, or another API's pointer.
    fn mismatch(&self, span: &Span, code: &str) -> Option<Edit> {
        // From the note "expected struct `refscope::Rc<dyn Debug>` found struct
        // `refscope::Rc<u8>`", or from "`std::sync::Arc<str>` and `refscope::Arc<str>` have similar
        // names".
        let (expected, found) = (pointer(&span.label, "expected "), pointer(&span.label, "found "));
        let (expected, found) = (expected?, found?);
        let ours = |pointer: &str| self.text.contains(&format!("refscope::{pointer}<"));
        let stds = |pointer: &str| {
            self.text.contains(&format!("{}::{pointer}<", module(pointer)))
                || self.text.contains(&format!("alloc::{}::{pointer}<", &module(pointer)[5..]))
        };
        if found.pointer == expected.pointer && ours(found.pointer) && !stds(found.pointer) {
            return Some(whole(span, coerced(code)));
        }
        if found.pointer != expected.pointer || !ours(found.pointer) {
            return None;
        }
        // Which of the two is std's: the note says in which order.
        let wants_std = first_of(&self.text, found.pointer, "expected ").or_else(|| {
            // `convert `refscope::Arc<_>` into `std::sync::Arc<str>``
            self.text.contains(&format!("convert refscope::{}", found.pointer)).then_some(true)
        })?;
        let how = match (wants_std, code.starts_with('&') || expected.borrowed) {
            (true, true) => {
                let owner = code.strip_prefix('&').unwrap_or(code);
                return Some(whole(span, format!("::refscope::StdPtr::as_std(&{owner})")));
            }
            (true, false) => "into_std",
            (false, _) => "from_std",
        };
        Some(whole(span, format!("::refscope::StdPtr::{how}({code})")))
    }

    /// E0507: the value is moved out of a box.
    fn moved_out(&self, span: &Span, code: &str) -> Option<Edit> {
        if !self.message.contains("refscope::Box<") && !self.message.contains(" Box<") {
            return None;
        }
        let how = if self.message.contains("Box<dyn ") || self.message.contains("Box<(dyn ") {
            "::refscope::StdPtr::into_std"
        } else {
            "::refscope::unbox"
        };
        if let Some(boxed) = code.strip_prefix('*') {
            return Some(whole(span, format!("{how}({boxed})")));
        }
        // A field's value, by the box's name; or a method or call that takes `self`.
        let field = field_of(code).filter(|_| !self.text.contains("value moved due to this"));
        match field {
            Some((owner, field)) => Some(whole(span, format!("{how}({owner}).{field}"))),
            None => Some(whole(span, format!("{how}({code})"))),
        }
    }

    /// E0277: a box is no closure, no iterator; `?` does not convert to std's.
    fn unsatisfied(&self, span: &Span, code: &str) -> Option<Edit> {
        let ours = self.text.contains("refscope::Box<");
        if code == "?" && ours && self.text.contains("std::boxed::Box<") {
            let at = span.at.start..span.at.start;
            return Some(Edit { at, text: ".map_err(::refscope::StdPtr::into_std)".to_owned() });
        }
        if ours && self.text.contains("closure, found refscope::Box<dyn ") {
            return Some(whole(span, format!("::refscope::StdPtr::into_std({code})")));
        }
        if ours && self.text.contains("is not an iterator") && self.text.contains("refscope::Box<[")
        {
            return Some(match code.strip_prefix("&mut ") {
                Some(slice) => whole(span, format!("{slice}.iter_mut()")),
                None => whole(span, format!("{code}.into_vec()")),
            });
        }
        None
    }

    /// E0605: `rc as Rc<dyn Trait>`.
    fn cast(&self, span: &Span, code: &str) -> Option<Edit> {
        let at = mask(code).rfind(" as ")?;
        let (value, target) = (&code[..at], code[at + 4..].trim());
        let value = coerced(value);
        if target == "_" {
            return Some(whole(span, value));
        }
        let name = target[..target.find('<')?].rsplit("::").next()?;
        if name != "Pin" && !POINTERS.contains(&name) {
            return None;
        }
        Some(whole(span, format!("{{ let coerced: {target} = {value}; coerced }}")))
    }

    /// E0038, E0053: a method on `self: Rc<Self>`, of a trait that has objects, keeps std's
    /// pointer.
    fn std_receiver(&self, source: impl Fn(&PathBuf) -> Option<String>) -> Vec<(PathBuf, Edit)> {
        let receiver = |span: &&Span| {
            span.label.contains("parameter cannot be dispatched on")
                || (self.code == "E0053" && span.primary)
        };
        let edit = |span: &Span| {
            let text = source(&span.file)?;
            let code = text.get(span.at.clone())?;
            let pointer =
                POINTERS.into_iter().find(|pointer| code.starts_with(&format!("{pointer}<")))?;
            Some((span.file.clone(), whole(span, format!("::{}::{code}", module(pointer)))))
        };
        let mut edits: Vec<_> = self.every_span().filter(receiver).filter_map(edit).collect();
        edits.dedup();
        edits
    }

    fn every_span(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter()
    }
}

const POINTERS: [&str; 4] = ["Box", "Rc", "Arc", "Weak"];

/// std's module of a pointer. (A `Weak` is taken for `Arc`'s: its text is only searched for.)
fn module(pointer: &str) -> &'static str {
    match pointer {
        "Box" => "std::boxed",
        "Rc" => "std::rc",
        _ => "std::sync",
    }
}

/// All texts of a message: its own, its labels and those of its notes; and their spans.
fn gather(message: &Value, out: &mut String) {
    out.push_str(message["message"].as_str().unwrap_or_default());
    out.push('\n');
    for span in message["spans"].as_array().into_iter().flatten() {
        out.push_str(span["label"].as_str().unwrap_or_default());
        out.push('\n');
    }
    for child in message["children"].as_array().into_iter().flatten() {
        gather(child, out);
    }
}

fn offset(span: &Value, name: &str) -> usize {
    span[name].as_u64().and_then(|at| at.try_into().ok()).unwrap_or_default()
}

fn whole(span: &Span, text: String) -> Edit {
    Edit { at: span.at.clone(), text }
}

struct Named {
    pointer: &'static str,
    borrowed: bool,
}

/// The pointer that a label names after `word`: "expected `&Rc<dyn Debug>`, found `&Rc<u8>`".
fn pointer(label: &str, word: &str) -> Option<Named> {
    let rest = &label[label.find(word)? + word.len()..];
    let borrowed = rest.starts_with('&');
    let rest = rest.trim_start_matches("&mut ").trim_start_matches('&');
    let rest = rest.strip_prefix("Pin<").unwrap_or(rest);
    // `std::sync::Arc<…>` where the compiler tells two of a name apart.
    let path = &rest[..rest.find('<')?];
    let pointer = POINTERS.into_iter().find(|name| path.rsplit("::").next() == Some(name))?;
    Some(Named { pointer, borrowed })
}

/// Whether the type that the text names after `word` is std's; `None` where it does not say.
fn first_of(text: &str, pointer: &str, word: &str) -> Option<bool> {
    for (at, _) in text.match_indices(word) {
        let line = text[at..].lines().next().unwrap_or_default();
        // "expected struct std::sync::Arc<str>"
        let end = line.find(", found").unwrap_or(line.len());
        let line = &line[..end];
        if line.contains(&format!("refscope::{pointer}<")) {
            return Some(false);
        }
        if line.contains("std::") && line.contains(&format!("::{pointer}<")) {
            return Some(true);
        }
    }
    None
}

/// `coerce!` around an expression. A function `new` that is not a pointer's own goes in
/// parentheses.
fn coerced(code: &str) -> String {
    let masked = mask(code);
    let path = masked.split('(').next().unwrap_or_default().trim();
    let constructor = path.strip_suffix("::new").or_else(|| path.strip_suffix("::pin"));
    let own = constructor.is_some_and(|path| {
        !POINTERS.iter().any(|pointer| path.rsplit("::").next() == Some(pointer))
    });
    if own {
        format!("::refscope::coerce!(({code}))")
    } else {
        format!("::refscope::coerce!({code})")
    }
}

/// The last field of a path of fields: `state` and `queue` of `state.queue`.
fn field_of(code: &str) -> Option<(&str, &str)> {
    let (owner, field) = code.rsplit_once('.')?;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    (field.chars().all(word) && !owner.is_empty()).then_some((owner, field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The remedy for an error at `code`, which is all of the file.
    fn remedy(
        code: &str,
        error: &str,
        message: &str,
        label: &str,
        notes: &[&str],
    ) -> Option<String> {
        let notes: Vec<_> = notes
            .iter()
            .map(|note| json!({"message": note, "spans": [], "children": []}))
            .collect();
        let line = json!({"message": {
            "level": "error", "code": {"code": error}, "message": message, "children": notes,
            "spans": [{"file_name": "a.rs", "byte_start": 0, "byte_end": code.len(), "is_primary": true,
                "label": label, "expansion": null}],
        }});
        let diagnostic = Diagnostic::read(&line.to_string()).unwrap();
        let edits = diagnostic.remedies(|_| Some(code.to_owned()));
        edits.first().map(|(_, edit)| super::super::swap::apply(code, vec![edit.clone()]).0)
    }

    #[test]
    fn mismatches() {
        let structs =
            "expected struct `refscope::Rc<dyn Debug>`\n   found struct `refscope::Rc<{integer}>`";
        let label = "expected `Rc<dyn Debug>`, found `Rc<{integer}>`";
        let coerced = |code| remedy(code, "E0308", "mismatched types", label, &[structs]).unwrap();
        assert_eq!(coerced("Rc::new(1)"), "::refscope::coerce!(Rc::new(1))");
        assert_eq!(coerced("rc.clone()"), "::refscope::coerce!(rc.clone())");
        assert_eq!(coerced("Shape::new(1)"), "::refscope::coerce!((Shape::new(1)))");
        let distinct = "`refscope::Arc<str>` and `std::sync::Arc<str>` have similar names, but are actually distinct types";
        let into = "call `Into::into` on this expression to convert `refscope::Arc<str>` into `std::sync::Arc<str>`";
        let given = remedy(
            "arc",
            "E0308",
            "mismatched types",
            "expected `Arc<str>`, found `Arc<_>`",
            &[distinct, into],
        );
        assert_eq!(given.unwrap(), "::refscope::StdPtr::into_std(arc)");
        assert_eq!(
            remedy("5", "E0308", "mismatched types", "expected `u8`, found `i32`", &[]),
            None
        );
    }

    #[test]
    fn casts() {
        let message = "non-primitive cast: `refscope::Rc<A>` as `refscope::Rc<dyn B>`";
        let cast = remedy("Rc::new(a as u8) as Rc<dyn B>", "E0605", message, "", &[]).unwrap();
        let expected =
            "{ let coerced: Rc<dyn B> = ::refscope::coerce!(Rc::new(a as u8)); coerced }";
        assert_eq!(cast, expected);
    }

    #[test]
    fn moves() {
        let message = "cannot move out of dereference of `refscope::Box<State>`";
        let moved = |code, label| remedy(code, "E0507", message, label, &[]).unwrap();
        assert_eq!(moved("*state", "move occurs because"), "::refscope::unbox(state)");
        assert_eq!(moved("self.state.queue", "move occurs"), "::refscope::unbox(self.state).queue");
        assert_eq!(moved("err", "value moved due to this method call"), "::refscope::unbox(err)");
        let once = "cannot move out of dereference of `refscope::Box<dyn FnOnce(i32) -> i32>`";
        assert_eq!(
            remedy("once", "E0507", once, "", &[]).unwrap(),
            "::refscope::StdPtr::into_std(once)"
        );
        assert_eq!(remedy("*rc", "E0507", "cannot move out of an `Rc`", "", &[]), None);
    }
}
