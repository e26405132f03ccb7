//! What the compiler says of a program whose imports are swapped, and the edit that is the remedy.

use super::swap::{Edit, mask, words};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// An error of the compiler's, as its JSON has it.
#[derive(Debug)]
pub(super) struct Diagnostic {
    pub(super) code: String,
    pub(super) message: String,
    /// The message, its labels and its notes, without quotes: what is searched in.
    text: String,
    /// The file and the line of the error: of what the program calls, where it is in a macro.
    pub(super) place: Option<(PathBuf, u64)>,
    /// What the program calls, where the error is in a macro.
    call: Option<Span>,
    spans: Vec<Span>,
    /// Those of its notes.
    notes: Vec<Span>,
}

#[derive(Debug)]
struct Span {
    file: PathBuf,
    at: Range<usize>,
    primary: bool,
    label: String,
    /// The code, where it is on one line: also of a file that is none of the package's.
    code: Option<String>,
    /// Of what a macro has made: the file of the macro's definition, and where its name ends there.
    made_by: Option<(PathBuf, usize)>,
}

impl Span {
    fn of(span: &Value) -> Self {
        let line = span["text"].as_array().filter(|lines| lines.len() == 1).map(|lines| &lines[0]);
        let code = line.and_then(|line| {
            let range = offset(line, "highlight_start")..offset(line, "highlight_end");
            let columns = range.end.checked_sub(range.start)?;
            let code = line["text"].as_str()?.chars().skip(range.start.checked_sub(1)?);
            Some(code.take(columns).collect())
        });
        Self {
            file: span["file_name"].as_str().unwrap_or_default().into(),
            at: offset(span, "byte_start")..offset(span, "byte_end"),
            primary: span["is_primary"] == true,
            label: span_label(span),
            code,
            made_by: made_by(span),
        }
    }

    /// Whether the span's text is code in `text`, which its file has: no code of a macro's, unless the macro is defined
    /// there, around it.
    fn is_code(&self, text: &str) -> bool {
        let Some((file, name)) = &self.made_by else { return true };
        let Some(definition) = text.get(*name..).filter(|_| *file == self.file) else {
            return false;
        };
        let masked = mask(definition);
        let Some(open) = masked.find(['{', '(', '[']) else { return false };
        let mut depth = 0_i32;
        let end = masked[open..].char_indices().find_map(|(at, c)| {
            depth +=
                i32::from(matches!(c, '{' | '(' | '[')) - i32::from(matches!(c, '}' | ')' | ']'));
            (depth == 0).then_some(name + open + at)
        });
        self.at.start > name + open && end.is_some_and(|end| self.at.end <= end)
    }
}

impl Diagnostic {
    /// Reads one line of `cargo check --message-format json`. `None` for all but errors.
    pub(super) fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let message = line.get("message").filter(|message| message["level"] == "error")?;
        let mut text = String::new();
        gather(message, &mut text);
        let mut notes = Vec::new();
        for note in message["children"].as_array().into_iter().flatten() {
            notes.extend(spans(note));
        }
        Some(Self {
            code: message["code"]["code"].as_str().unwrap_or_default().to_owned(),
            message: message["message"].as_str().unwrap_or_default().to_owned(),
            spans: spans(message).collect(),
            notes,
            place: place(message),
            call: primary(message)
                .filter(|span| !span["expansion"].is_null())
                .map(|span| Span { label: span_label(span), ..Span::of(outermost(span)) }),
            text: text.replace('`', ""),
        })
    }

    /// An error of an example in documentation, as it is printed: `at` is its place in the file.
    pub(super) fn of_example(
        code: &str,
        message: &str,
        printed: &str,
        place: (PathBuf, u64),
        at: Range<usize>,
        label: &str,
    ) -> Self {
        let label = label.replace('`', "");
        let file = place.0.clone();
        Self {
            code: code.to_owned(),
            message: message.to_owned(),
            text: printed.replace('`', ""),
            place: Some(place),
            call: None,
            spans: vec![Span { file, at, primary: true, label, code: None, made_by: None }],
            notes: Vec::new(),
        }
    }

    /// The feature of refscope's by which the pointers have the trait of another crate that they lack.
    pub(super) fn feature(&self) -> Option<&'static str> {
        let lacks = matches!(self.code.as_str(), "E0277" | "E0599");
        let of = |traits: &[&str]| traits.iter().any(|name| self.text.contains(name));
        match () {
            () if !lacks || !self.text.contains("refscope::") => None,
            () if of(&["Serialize", "Deserialize"]) => Some("serde"),
            () if of(&["RefCnt"]) => Some("arc-swap"),
            () if of(&["ParallelIterator"]) => Some("rayon"),
            () => None,
        }
    }

    /// Whether the error is that a pointer of ours can be no `self` there.
    pub(super) fn is_of_receiver(&self) -> bool {
        match self.code.as_str() {
            "E0658" => self.text.contains("cannot be used as the type of self"),
            // A trait of another crate's has std's pointer.
            "E0053" => true,
            "E0038" => self.text.contains("parameter cannot be dispatched on"),
            _ => false,
        }
    }

    /// What a person does about an error that is left: from the table in the library's documentation.
    pub(super) fn by_hand(&self) -> Option<&'static str> {
        let names = |name: &&str| {
            let of = |end: &str| self.text.contains(&format!("{name}{end}"));
            of("<") || of(" ") || of("\n")
        };
        let is_of_pointer = self.text.contains("refscope::") || POINTERS.iter().any(names);
        let is_of_box = self.text.contains("Box<");
        Some(match self.code.as_str() {
            "E0658" if self.is_of_receiver() => {
                "name it `this` (`this: Rc<Self>`), and call it as `Type::method(this)`"
            }
            "E0038" | "E0053" if self.is_of_receiver() => {
                "`&self` in place of the pointer, or `where Self: Sized` on the method"
            }
            "E0308" if is_of_pointer => {
                "`refscope::coerce!(pointer)` coerces; `into_std` and `from_std` of `refscope::StdPtr` lead to std's \
                 pointer and back"
            }
            "E0507" if is_of_box && self.text.contains("FnOnce") => {
                "`boxed.into_std()(…)` calls it"
            }
            "E0382" if is_of_box && self.text.contains("refscope::unbox") => {
                "`let boxed = boxed.into_std();` first, since std's box alone is moved out of in parts; `from_std` makes \
                 it ours again"
            }
            "E0015" if is_of_pointer => "a function that is no `const`",
            "E0507" | "E0382" if is_of_box => {
                "`refscope::unbox(boxed)` moves out; of a field, `unbox(boxed).field`"
            }
            "E0499" | "E0502" | "E0505" if is_of_box => {
                "`let both = &mut *boxed;`, then its fields"
            }
            "E0277" if self.text.contains("couldn't convert the error") => {
                "`.map_err(refscope::StdPtr::into_std)?`"
            }
            "E0277" if is_of_box && self.text.contains("is not an iterator") => {
                "`boxed_slice.into_vec()` is one, and `boxed.iter()`"
            }
            "E0277" if is_of_box && self.text.contains("closure") => {
                "`&*boxed` is a closure, and so is `boxed.into_std()`"
            }
            "E0277" if is_of_pointer => {
                "`refscope::coerce!(pointer)`, or std's pointer: `into_std` of `refscope::StdPtr`"
            }
            "E0117" | "E0210" if is_of_pointer => "a type of your own around the pointer",
            _ => return None,
        })
    }

    /// The remedies: each an edit of a file.
    pub(super) fn remedies(&self, sources: &Sources) -> Vec<(PathBuf, Edit)> {
        let source = |file: &PathBuf| sources.shown.get(file).cloned();
        let aliases = &sources.aliases;
        let mut edits = Vec::new();
        for span in self.spans.iter().filter(|span| span.primary) {
            let Some(text) = source(&span.file).filter(|text| span.is_code(text)) else { continue };
            let Some(code) = text.get(span.at.clone()) else { continue };
            let declared = self.declared_with_std(span, &text, sources);
            if !declared.is_empty() {
                edits.extend(declared);
                continue;
            }
            let edit = match self.code.as_str() {
                "E0308" => {
                    (self.mismatch(span, code, aliases).map(|edit| named_field(&text, edit)))
                        .or_else(|| self.called_with_std(span, &text))
                }
                "E0271" => self.unsized_of_std(span, code),
                "E0507" => self
                    .moved_out(span, code)
                    .or_else(|| lent(span, &text))
                    .or_else(|| given(span, code)),
                "E0277" => {
                    (self.unsatisfied(span, code)).or_else(|| self.made_of_ours(span, &text))
                }
                "E0599" => self.method(span, &text, sources),
                "E0605" => self.cast(span, code, aliases),
                "E0658" => self.receiver(span, code),
                _ => None,
            };
            edits.extend(edit.map(|edit| (span.file.clone(), edit)));
        }
        if self.code == "E0308"
            && let Some(call) = &self.call
            && let Some(text) = source(&call.file)
        {
            let edit = text.get(call.at.clone()).and_then(|code| self.coerced_std(call, code));
            edits.extend(edit.map(|edit| (call.file.clone(), edit)));
        }
        if self.code == "E0038" || self.code == "E0053" {
            edits.extend(self.std_receiver(source));
        }
        edits
    }

    /// E0308: a coercion that only std's pointers do by themselves, or another API's pointer.
    fn mismatch(&self, span: &Span, code: &str, aliases: &[String]) -> Option<Edit> {
        // From the note "expected struct `refscope::Rc<dyn Debug>` found struct
        // `refscope::Rc<u8>`", or from "`std::sync::Arc<str>` and `refscope::Arc<str>` have similar
        // names".
        let (expected, found) = (pointer(&span.label, "expected "), pointer(&span.label, "found "));
        let Some((expected, found)) = expected.zip(found) else {
            // "expected trait `Any`, found trait `Any + Send`", with the pointers in a note.
            let has = |name: &str| {
                let of = |word| format!("{word} struct refscope::{name}<");
                self.text.contains(&of("expected")) && self.text.contains(&of("found"))
            };
            let coerces = POINTERS.into_iter().find(|name| has(name));
            return (coerces.map(|_| whole(span, coerced(code, aliases))))
                .or_else(|| self.behind_another(span, code));
        };
        let defined = self.defined();
        let ours = |pointer: &str| {
            // A `Weak` has its module's name.
            let of = |path: &str| self.text.contains(&format!("refscope::{path}{pointer}<"));
            defined.is_some() || of("") || of("rc::") || of("sync::")
        };
        let stds = |pointer: &str| {
            defined.is_some()
                || self.text.contains(&format!("{}::{pointer}<", module(pointer)))
                || self.text.contains(&format!("alloc::{}::{pointer}<", &module(pointer)[5..]))
        };
        // Where neither is named by its path there is no other pointer of that name, and std's coerces by itself.
        let named =
            |pointer: &str| defined.is_some() || self.text.contains(&format!("::{pointer}<"));
        let is_ours = |pointer: &str| ours(pointer) && !stds(pointer) || !named(pointer);
        let coerces = is_ours(found.pointer) && !code.starts_with("::refscope::coerce!(");
        if found.pointer == expected.pointer && coerces {
            return Some(whole(span, coerced(code, aliases)));
        }
        if found.pointer != expected.pointer || !ours(found.pointer) {
            return None;
        }
        // Which of the two is std's: the note says in which order.
        let wants_std = first_of(&self.text, found.pointer, "expected ").or_else(|| {
            // `convert `refscope::Arc<_>` into `std::sync::Arc<str>``
            let converted = format!("convert refscope::{}", found.pointer);
            self.text.contains(&converted).then_some(true).or(defined)
        })?;
        let how = match (wants_std, code.starts_with('&') || expected.borrowed) {
            (true, true) => {
                let owner = code.strip_prefix('&').unwrap_or(code);
                return Some(whole(span, format!("::refscope::StdPtr::as_std(&{owner})")));
            }
            (true, false) => "into_std",
            // Nothing makes a reference to ours of one to std's.
            (false, _) if expected.borrowed => return None,
            (false, _) => "from_std",
        };
        Some(whole(span, format!("::refscope::StdPtr::{how}({code})")))
    }

    /// E0308: a function of ours, such as `Arc::strong_count`, is given a reference to std's pointer.
    fn called_with_std(&self, span: &Span, text: &str) -> Option<Edit> {
        let (expected, found) =
            (pointer(&span.label, "expected ")?, pointer(&span.label, "found ")?);
        let std = module(found.pointer);
        let is_std = first_of(&self.text, found.pointer, "expected ") == Some(false)
            || self.text.contains(&format!("{std}::{}<", found.pointer));
        let called =
            self.spans.iter().find(|span| span.label.contains("this function are incorrect"))?;
        let name = text.get(called.at.clone())?;
        let is_ours = name.starts_with(&format!("{}::", found.pointer));
        (expected.borrowed && found.borrowed && is_std && is_ours)
            .then(|| Edit { at: called.at.start..called.at.start, text: format!("::{std}::") })
    }

    /// E0308: "expected reference `&std::sync::Arc<A>`, found reference `&ManuallyDrop<refscope::Arc<A>>`", which is
    /// dereferenced to our pointer.
    fn behind_another(&self, span: &Span, code: &str) -> Option<Edit> {
        let owner = code.strip_prefix('&').filter(|owner| !owner.starts_with("mut "))?;
        let reference = |word: &str| {
            let found = &self.text[self.text.find(&format!("{word} reference &"))?..];
            found.lines().next()
        };
        let (expected, found) = (reference("expected")?, reference("found")?);
        POINTERS.into_iter().find(|name| {
            let wants_std = expected.contains(&format!("&std::{}::{name}<", &module(name)[5..]));
            wants_std && found.contains(&format!("<refscope::{name}<"))
        })?;
        Some(whole(span, format!("::refscope::StdPtr::as_std(&*{owner})")))
    }

    /// E0308: a reference to std's pointer, where one to ours is expected, which none makes of it: what the parameter or the
    /// field is declared as is std's then.
    fn declared_with_std(
        &self,
        span: &Span,
        text: &str,
        sources: &Sources,
    ) -> Vec<(PathBuf, Edit)> {
        let named = pointer(&span.label, "expected ").zip(pointer(&span.label, "found "));
        let Some((expected, found)) = named.filter(|_| self.code == "E0308") else {
            return Vec::new();
        };
        let wants_std = first_of(&self.text, found.pointer, "expected ").or_else(|| self.defined());
        if expected.pointer != found.pointer || wants_std != Some(false) {
            return Vec::new();
        }
        // The compiler says what is behind the references, and nothing of them.
        let with_std = |declared: &str| {
            let borrowed = declared.rsplit(": ").next()?.trim_start().starts_with('&');
            of_std(declared).filter(|_| borrowed)
        };
        let mut edits: Vec<_> = (self.parameters(sources))
            .filter_map(|(note, declared)| {
                Some((note.file.clone(), whole(note, with_std(declared)?)))
            })
            .collect();
        if let Some((name, field)) = field_in_literal(text, &span.at) {
            edits.extend(sources.texts.iter().filter_map(|(file, text)| {
                let at = declared_field(text, name, field)?;
                let text = with_std(&text[at.clone()])?;
                Some((file.clone(), Edit { at, text }))
            }));
        }
        edits
    }

    /// The parameters that the notes show of a function of the package: `lock: &'a Arc<Lock>`.
    fn parameters<'a>(&'a self, sources: &'a Sources) -> impl Iterator<Item = (&'a Span, &'a str)> {
        self.notes.iter().filter(|note| !note.primary).filter_map(|note| {
            let text = sources.texts.get(&note.file).filter(|text| note.is_code(text))?;
            Some((note, text.get(note.at.clone())?))
        })
    }

    /// Of "`Rc<A>` and `Rc<_>` have similar names, but are actually distinct types", with where each is defined:
    /// whether the first, which is what was found, is ours.
    fn defined(&self) -> Option<bool> {
        let ours = self.text.find("is defined in crate refscope")?;
        Some(ours < self.text.find("is defined in crate alloc")?)
    }

    /// E0308: `coerce!` is given std's pointer, since a `self` is that now.
    fn coerced_std(&self, call: &Span, code: &str) -> Option<Edit> {
        let value = code.strip_prefix("::refscope::coerce!(")?.strip_suffix(')')?;
        let expected = pointer(&call.label, "expected ")?.pointer;
        if self.defined()? {
            return Some(whole(call, format!("::refscope::StdPtr::into_std({value})")));
        }
        let made = format!("::refscope::StdPtr::from_std({value})");
        let is_any = call.label.contains(&format!("expected {expected}<_>"));
        Some(whole(call, if is_any { made } else { coerced_of_std(expected, &made) }))
    }

    /// E0271: std's pointer becomes ours, and has to be coerced as well.
    fn unsized_of_std(&self, span: &Span, code: &str) -> Option<Edit> {
        code.strip_prefix("::refscope::StdPtr::from_std(")?;
        // Of "resolving `<Rc<dyn Stage> as StdPtr>::Std == Rc<Second>`".
        let ours = self.text.split(" as StdPtr>").next()?;
        let name = |name| Some((ours.rfind(&format!("<{name}<"))?, name));
        let (_, name) = POINTERS.into_iter().filter_map(name).max()?;
        Some(whole(span, coerced_of_std(name, code)))
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
        // `(*f)()`
        let inner = code.strip_prefix('(').and_then(|code| code.strip_suffix(')')).unwrap_or(code);
        if let Some(boxed) = inner.strip_prefix('*') {
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
        // A function takes what becomes std's box.
        if ours && self.text.contains("to implement Into<std::boxed::Box<") {
            return Some(whole(span, format!("::refscope::StdPtr::into_std({code})")));
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

    /// E0277: `boxed.into()` where a type of another crate's is made of std's pointer.
    fn made_of_ours(&self, span: &Span, text: &str) -> Option<Edit> {
        let of_ours = self.message.contains(": From<refscope::");
        (of_ours && &text[span.at.clone()] == "into").then_some(())?;
        let masked = mask(text);
        let dot = masked[..span.at.start].trim_end().strip_suffix('.')?.len();
        let start = receiver_of(&masked, dot)?;
        let value = text[start..dot].trim_end();
        let is_std = value.starts_with("::refscope::StdPtr::into_std(");
        let text = format!("::refscope::StdPtr::into_std({value})");
        (!is_std).then_some(Edit { at: start..dot, text })
    }

    /// E0605: `rc as Rc<dyn Trait>`.
    fn cast(&self, span: &Span, code: &str, aliases: &[String]) -> Option<Edit> {
        let at = mask(code).rfind(" as ")?;
        let (value, target) = (&code[..at], code[at + 4..].trim());
        let value = coerced(value, aliases);
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
            let text = source(&span.file).filter(|text| span.is_code(text))?;
            let receiver = of_std(text.get(span.at.clone())?)?;
            Some((span.file.clone(), whole(span, receiver)))
        };
        let spans = self.spans.iter().chain(&self.notes);
        let mut edits: Vec<_> = spans.filter(receiver).filter_map(edit).collect();
        edits.dedup();
        edits
    }

    /// E0658: a pointer of ours as `self`, where the compiler lets none be.
    fn receiver(&self, span: &Span, code: &str) -> Option<Edit> {
        (self.is_of_receiver() && !code.starts_with("&mut ")).then_some(())?;
        Some(whole(span, of_std(code)?))
    }

    /// E0599: a method whose `self` is std's pointer.
    fn method(&self, span: &Span, text: &str, sources: &Sources) -> Option<Edit> {
        let found = self.message.split(" found for ").nth(1)?;
        let found = &found[found.find('`')? + 1..];
        let owned = found.trim_start_matches('&').trim_start_matches("mut ");
        let is_reference = owned.len() < found.len();
        let found = owned.strip_prefix("Pin<").unwrap_or(owned);
        let pointer = found.split('<').next()?.rsplit("::").next()?;
        if !POINTERS.contains(&pointer) || found.starts_with("std::") {
            return None;
        }
        let masked = mask(text);
        let dot = masked[..span.at.start].trim_end().strip_suffix('.')?.len();
        let start = receiver_of(&masked, dot)?;
        let value = text[start..dot].trim_end();
        // It is std's already, and has no such method.
        let call = value.ends_with(')').then(|| opening(&mask(value), value.len())).flatten();
        let is_std = |open| value[..open] == *"::refscope::StdPtr::into_std";
        if call.is_some_and(is_std) {
            return None;
        }
        // By a reference, where the method is declared so.
        let declared = self.spans.iter().find(|span| span.label.contains("arbitrary self type"));
        let name = &text[span.at.clone()];
        let receivers = sources.texts.values().filter_map(|text| receiver_in(text, name));
        let receiver = (declared.and_then(|declared| declared.code.clone()))
            .or_else(|| receivers.into_iter().next());
        // Of one that a macro names nothing is known: see `given`.
        let borrows = receiver.is_none_or(|receiver| receiver.starts_with('&'));
        let value = if borrows && is_reference {
            format!("::refscope::StdPtr::as_std(&*{value})")
        } else if is_reference {
            // What is behind a reference is given to nobody.
            return None;
        } else if borrows {
            format!("::refscope::StdPtr::as_std(&{value})")
        } else {
            format!("::refscope::StdPtr::into_std({value})")
        };
        Some(Edit { at: start..dot, text: value })
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

/// The file and the line that a message is about.
fn place(message: &Value) -> Option<(PathBuf, u64)> {
    let span = outermost(primary(message)?);
    Some((span["file_name"].as_str()?.into(), span["line_start"].as_u64()?))
}

fn primary(message: &Value) -> Option<&Value> {
    message["spans"].as_array()?.iter().find(|span| span["is_primary"] == true)
}

/// The span of what the program calls, of one in a macro.
fn outermost(mut span: &Value) -> &Value {
    while !span["expansion"].is_null() {
        span = &span["expansion"]["span"];
    }
    span
}

fn span_label(span: &Value) -> String {
    span["label"].as_str().unwrap_or_default().replace('`', "")
}

/// The spans of a message.
fn spans(message: &Value) -> impl Iterator<Item = Span> {
    message["spans"].as_array().into_iter().flatten().map(Span::of)
}

/// What has made the code of a span: the file of a macro's definition, and where its name ends there. `None` also for what
/// the compiler has made of `for` and `?`.
fn made_by(span: &Value) -> Option<(PathBuf, usize)> {
    let expansion = &span["expansion"];
    let name = expansion["macro_decl_name"].as_str()?;
    if name.starts_with("desugaring of") {
        return made_by(&expansion["span"]);
    }
    let definition = &expansion["def_site_span"];
    // A macro that is no text has none: a derive.
    let file = definition["file_name"].as_str().unwrap_or_default();
    Some((file.into(), offset(definition, "byte_end")))
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

/// The package's files.
pub(super) struct Sources {
    /// The text of each.
    pub(super) texts: BTreeMap<PathBuf, String>,
    /// The text that the errors are of, of the same length: of an example in documentation, all but the examples is blank.
    pub(super) shown: BTreeMap<PathBuf, String>,
    /// What the package calls the pointers as well.
    pub(super) aliases: Vec<String>,
}

/// The type of the `self` that a method of this name declares: `&Arc<Self>` of `fn name(self: &Arc<Self>)`.
fn receiver_in(text: &str, name: &str) -> Option<String> {
    let masked = mask(text);
    words(&masked, name).find_map(|at| {
        let is_declared = masked[..at].trim_end().ends_with("fn");
        let rest = is_declared.then(|| &masked[at + name.len()..])?;
        let open = at + name.len() + rest.find('(')? + 1;
        let receiver = masked[open..].trim_start().strip_prefix("self:")?;
        let at = masked.len() - receiver.len();
        Some(text[at..at + receiver.find([',', ')'])?].trim().to_owned())
    })
}

/// The names of the type and of the field whose value is at `at`, in `Type { field: value }` or `Type { field }`.
fn field_in_literal<'a>(text: &'a str, at: &Range<usize>) -> Option<(&'a str, &'a str)> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let masked = mask(text);
    let before = masked[..at.start].trim_end();
    let (before, field) = match before.strip_suffix(':') {
        Some(named) => {
            let end = named.trim_end().len();
            let start = named[..end].trim_end_matches(word).len();
            (&named[..start], &text[start..end])
        }
        None => (before, &text[at.clone()]),
    };
    let head = before[..opening_brace(before)?].trim_end();
    let name = head.trim_end_matches(word).len();
    let is_names = !field.is_empty() && field.chars().all(word);
    let name = match &text[name..head.len()] {
        "Self" => implemented_for(text, &masked, name)?,
        name => name,
    };
    (is_names && name.starts_with(char::is_uppercase)).then_some((name, field))
}

/// The name of the type that `Self` is at `at`.
fn implemented_for<'a>(text: &'a str, masked: &str, at: usize) -> Option<&'a str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let start = words(&masked[..at], "impl").last()? + 4;
    let head = start..start + masked[start..].find('{')?;
    // After `for`, or after the parameters of the `impl`.
    let after_for = words(&masked[head.clone()], "for").last().map(|at| start + at + 3);
    let of = after_for.unwrap_or_else(|| {
        let parameters = masked[head.clone()].trim_start();
        let close = parameters.starts_with('<').then(|| closing_angle(parameters)).flatten();
        head.end - parameters.len() + close.unwrap_or(0)
    });
    let path = masked[of..head.end].split(['<', ' ']).find(|part| !part.is_empty())?;
    let name = path.trim_end().rsplit("::").next()?;
    let at = of + masked[of..head.end].find(path)? + path.rfind(name)?;
    name.chars().all(word).then(|| &text[at..at + name.len()])
}

/// Where the `<` that the text begins with is closed.
fn closing_angle(text: &str) -> Option<usize> {
    let mut depth = 0_i32;
    text.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '<') - i32::from(c == '>' && !text[..at].ends_with('-'));
        (depth == 0).then_some(at + 1)
    })
}

/// The type of a field of the struct that the text declares.
fn declared_field(text: &str, name: &str, field: &str) -> Option<Range<usize>> {
    let masked = mask(text);
    let start = words(&masked, name).find(|at| masked[..*at].trim_end().ends_with("struct"))?;
    let open = start + masked[start..].find(['{', ';'])?;
    let found = words(&masked[open..], field).map(|at| open + at + field.len()).find(|at| {
        let is_outer = opening_brace(&masked[..*at]) == Some(open);
        let rest = masked[*at..].trim_start();
        is_outer && rest.starts_with(':') && !rest.starts_with("::")
    })?;
    let at = found + masked[found..].find(':')? + 1;
    let mut depth = 0_i32;
    let end = masked[at..].char_indices().find_map(|(end, c)| {
        let closes = depth == 0 && matches!(c, ',' | '}');
        depth += i32::from(matches!(c, '<' | '(' | '[')) - i32::from(matches!(c, '>' | ')' | ']'));
        closes.then_some(at + end)
    })?;
    Some(at..end)
}

/// The brace that is open at the end of a masked text.
fn opening_brace(masked: &str) -> Option<usize> {
    let mut depth = 0_i32;
    let open = masked.char_indices().rev().find_map(|(at, c)| {
        depth += i32::from(matches!(c, '}' | ')' | ']')) - i32::from(matches!(c, '{' | '(' | '['));
        (depth < 0).then_some(at)
    });
    open.filter(|at| masked.as_bytes()[*at] == b'{')
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

/// `coerce!` around an expression. A function `new` that is not a pointer's own, by its name or an alias, goes in
/// parentheses.
fn coerced(code: &str, aliases: &[String]) -> String {
    let masked = mask(code);
    let path = masked.split('(').next().unwrap_or_default().trim();
    let constructor = path.strip_suffix("::new").or_else(|| path.strip_suffix("::pin"));
    let own = constructor.is_some_and(|path| {
        let name = path.rsplit("::").next().unwrap_or_default();
        !POINTERS.contains(&name) && !aliases.iter().any(|alias| alias == name)
    });
    if own {
        format!("::refscope::coerce!(({code}))")
    } else {
        format!("::refscope::coerce!({code})")
    }
}

/// E0507: what was given to std for a method of a foreign type is only lent to it.
fn lent(span: &Span, text: &str) -> Option<Edit> {
    let call = "::refscope::StdPtr::into_std(";
    let start = text[..span.at.start].strip_suffix(call)?.len();
    text[span.at.end..].starts_with(')').then(|| {
        let value = format!("::refscope::StdPtr::as_std(&{})", &text[span.at.clone()]);
        Edit { at: start..span.at.end + 1, text: value }
    })
}

/// E0507: what was lent to std for a method has to be given to it.
fn given(span: &Span, code: &str) -> Option<Edit> {
    let value = code.strip_prefix("::refscope::StdPtr::as_std(&")?.strip_suffix(')')?;
    Some(whole(span, format!("::refscope::StdPtr::into_std({value})")))
}

/// `coerce!` of what was made of std's pointer.
fn coerced_of_std(name: &str, made: &str) -> String {
    let of_std = format!("::refscope::{}::{name}<_> = {made}", &module(name)[5..]);
    format!("{{ let ours: {of_std}; ::refscope::coerce!(ours) }}")
}

/// The type of a `self` with std's pointer in place of ours: `&std::rc::Rc<Self>` for `&Rc<Self>`.
/// `None`: it is std's.
fn of_std(receiver: &str) -> Option<String> {
    POINTERS.into_iter().find_map(|pointer| {
        let at = words(receiver, pointer).find(|at| receiver[*at..].contains('<'))?;
        let path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let start = receiver[..at].trim_end_matches(path).len();
        let is_std = ["std", "alloc", "core"].iter().any(|root| {
            receiver[start..at].trim_start_matches("::").starts_with(&format!("{root}::"))
        });
        let module = module(pointer);
        (!is_std).then(|| format!("{}::{module}::{}", &receiver[..start], &receiver[at..]))
    })
}

/// Where an expression begins of which a method is called by the dot at `dot`: names, paths, calls,
/// indices and fields.
fn receiver_of(masked: &str, dot: usize) -> Option<usize> {
    const KEYWORDS: [&str; 9] =
        ["break", "else", "if", "in", "match", "move", "return", "unsafe", "while"];
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = dot;
    loop {
        at = masked[..at].trim_end().len();
        let mut end = at;
        while let Some(rest) = masked[..at].strip_suffix(['?', ')', ']', '!']) {
            at = match masked.as_bytes()[rest.len()] {
                b')' | b']' => opening(masked, at)?,
                _ => rest.len(),
            };
            end = at;
        }
        let name = masked[..at].trim_end_matches(word).len();
        if name == at || KEYWORDS.contains(&&masked[name..at]) {
            // In parentheses.
            return (end < dot).then_some(end);
        }
        at = name;
        while let Some(path) = masked[..at].strip_suffix("::") {
            let generics =
                if path.ends_with('>') { opening(masked, path.len())? } else { path.len() };
            let path = masked[..generics].trim_end_matches("::");
            at = path.trim_end_matches(word).len();
        }
        match masked[..at].trim_end().strip_suffix('.') {
            Some(owner) if !owner.ends_with('.') => at = owner.len(),
            _ => return Some(at),
        }
    }
}

/// Where what is closed before `end` is opened.
fn opening(masked: &str, end: usize) -> Option<usize> {
    let close = masked[..end].chars().next_back()?;
    let open = match close {
        ')' => '(',
        ']' => '[',
        _ => '<',
    };
    let mut depth = 0_i32;
    masked[..end].char_indices().rev().find_map(|(at, c)| {
        depth += i32::from(c == close) - i32::from(c == open);
        (depth == 0).then_some(at)
    })
}

/// Names the field where the edit is one of a field's shorthand: `Idle { callback }`.
fn named_field(text: &str, mut edit: Edit) -> Edit {
    let code = &text[edit.at.clone()];
    let masked = mask(text);
    let (before, after) = (masked[..edit.at.start].trim_end(), masked[edit.at.end..].trim_start());
    let is_name = code.chars().all(|c| c.is_alphanumeric() || c == '_') && code != "self";
    if !is_name || !before.ends_with(['{', ',']) || !after.starts_with(['}', ',']) {
        return edit;
    }
    // The brace around it: a type's name is before it, and it is no function's body or a branch.
    let Some(brace) = opening_brace(before) else { return edit };
    let head = before[..brace].trim_end();
    let head = &head[head.rfind([';', '{', '}', ',', '(']).map_or(0, |at| at + 1)..];
    let block = ["fn", "if", "while", "match", "for", "impl", "loop", "unsafe"];
    let name = head.rsplit("::").next().unwrap_or_default();
    let name = name.rsplit([' ', '\n']).next().unwrap_or_default();
    let is_type = name.starts_with(|c: char| c.is_uppercase());
    if is_type
        && !block.iter().any(|word| words(head, word).next().is_some())
        && !head.contains("->")
    {
        edit.text = format!("{code}: {}", edit.text);
    }
    edit
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
        let texts: BTreeMap<_, _> = [("a.rs".into(), code.to_owned())].into();
        let sources = Sources { shown: texts.clone(), texts, aliases: vec!["Shared".to_owned()] };
        let edits = diagnostic.remedies(&sources);
        edits.first().map(|(_, edit)| super::super::swap::apply(code, vec![edit.clone()]).0)
    }

    #[test]
    fn mismatches() {
        let structs =
            "expected struct `refscope::Rc<dyn Debug>`\n   found struct `refscope::Rc<{integer}>`";
        let label = "expected `Rc<dyn Debug>`, found `Rc<{integer}>`";
        let coerced = |code| remedy(code, "E0308", "mismatched types", label, &[structs]).unwrap();
        assert_eq!(coerced("Rc::new(1)"), "::refscope::coerce!(Rc::new(1))");
        assert_eq!(coerced("Shared::new(1)"), "::refscope::coerce!(Shared::new(1))");
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
        let defined = [
            "`Box<Map<..>>` is defined in crate `refscope`",
            "`Box<dyn A>` is defined in crate `alloc`",
        ];
        let label = "expected `Box<dyn A>`, found `Box<Map<..>>`";
        let given =
            |notes: &[&str]| remedy("b", "E0308", "mismatched types", label, notes).unwrap();
        assert_eq!(given(&defined), "::refscope::StdPtr::into_std(b)");
        let reversed = [
            "`Box<Map<..>>` is defined in crate `alloc`",
            "`Box<dyn A>` is defined in crate `refscope`",
        ];
        assert_eq!(given(&reversed), "::refscope::StdPtr::from_std(b)");
        let label = "expected `&Arc<T>`, found `&ManuallyDrop<Arc<T>>`";
        let behind = "expected reference `&std::sync::Arc<T>`\n   found reference `&ManuallyDrop<refscope::Arc<T>>`";
        let given = remedy("&arc", "E0308", "mismatched types", label, &[behind]);
        assert_eq!(given.unwrap(), "::refscope::StdPtr::as_std(&*arc)");
        let traits = "expected trait `Any`, found trait `Any + Send`";
        let note = "expected struct `refscope::Box<(dyn Any + 'static)>`\n   found struct `refscope::Box<dyn Any + Send>`";
        let given = remedy("v", "E0308", "mismatched types", traits, &[note]);
        assert_eq!(given.unwrap(), "::refscope::coerce!(v)");
        assert_eq!(
            remedy("5", "E0308", "mismatched types", "expected `u8`, found `i32`", &[]),
            None
        );
    }

    #[test]
    fn features() {
        let feature = |message: &str| {
            let line = json!({"message": {
                "level": "error", "code": {"code": "E0277"}, "message": message, "children": [], "spans": [],
            }});
            Diagnostic::read(&line.to_string()).unwrap().feature()
        };
        let ours = "the trait bound `refscope::Rc<A>: serde::Deserialize<'de>` is not satisfied";
        assert_eq!(feature(ours), Some("serde"));
        assert_eq!(feature("the trait bound `A: serde::Deserialize<'de>` is not satisfied"), None);
        let swapped = "the trait bound `refscope::Arc<u8>: RefCnt` is not satisfied";
        assert_eq!(feature(swapped), Some("arc-swap"));
    }

    #[test]
    fn shorthands() {
        let named = |text: &str| {
            let at = text.find("rc").unwrap();
            let edit = Edit { at: at..at + 2, text: "coerce!(rc)".to_owned() };
            super::super::swap::apply(text, vec![named_field(text, edit)]).0
        };
        assert_eq!(named("Idle { rc }"), "Idle { rc: coerce!(rc) }");
        assert_eq!(
            named("let a = a::Idle { b: 1, rc, c };"),
            "let a = a::Idle { b: 1, rc: coerce!(rc), c };"
        );
        assert_eq!(named("Idle { a: rc }"), "Idle { a: coerce!(rc) }");
        for block in [
            "fn f() -> Idle { rc }",
            "if X { rc }",
            "f(a, rc, b)",
            "match X { _ => f, rc }",
            "else { rc }",
        ] {
            assert_eq!(named(block), block.replace("rc", "coerce!(rc)"));
        }
    }

    #[test]
    fn lent_to_std() {
        let text = "::refscope::StdPtr::into_std(self.a).run()";
        let at = text.find("self").unwrap()..text.find(").run").unwrap();
        let span = Span {
            file: "a.rs".into(),
            at,
            primary: true,
            label: String::new(),
            code: None,
            made_by: None,
        };
        let edit = lent(&span, text).unwrap();
        let lent = super::super::swap::apply(text, vec![edit]).0;
        assert_eq!(lent, "::refscope::StdPtr::as_std(&self.a).run()");
    }

    #[test]
    fn fields_and_their_types() {
        let text = "struct A<'a> { x: (u8, u8), lock: &'a Arc<Lock<u8, u8>>, z: u8 }\nimpl<'a, T: Fn() -> u8> A<'a> {\n\
            fn f() { A { lock: here } }\n}\nimpl From<u8> for a::A<'_> { fn f() -> Self { Self { here } } }\n";
        let mut at = text.match_indices("here").map(|(at, _)| at..at + 4);
        assert_eq!(field_in_literal(text, &at.next().unwrap()), Some(("A", "lock")));
        assert_eq!(field_in_literal(text, &at.next().unwrap()), Some(("A", "here")));
        let of_self = text.replace("A { lock: here", "Self { lock: here");
        let at = of_self.find("here").unwrap();
        assert_eq!(field_in_literal(&of_self, &(at..at + 4)), Some(("A", "lock")));
        assert_eq!(&text[declared_field(text, "A", "lock").unwrap()], " &'a Arc<Lock<u8, u8>>");
        assert_eq!(declared_field(text, "A", "here"), None);
        assert_eq!(receiver_in("fn get(self: &Arc<Self>)", "get").unwrap(), "&Arc<Self>");
        assert_eq!(receiver_in("fn get(&self)", "get"), None);
    }

    #[test]
    fn receivers() {
        assert_eq!(of_std("Rc<Self>").unwrap(), "::std::rc::Rc<Self>");
        assert_eq!(of_std("&refscope::sync::Arc<Self>").unwrap(), "&::std::sync::Arc<Self>");
        assert_eq!(
            of_std("std::pin::Pin<Box<Self>>").unwrap(),
            "std::pin::Pin<::std::boxed::Box<Self>>"
        );
        assert_eq!(of_std("Pin<&::std::rc::Rc<Self>>"), None);
        let receiver = |code: &str| {
            let dot = code.rfind('.').unwrap();
            receiver_of(&mask(code), dot).map(|at| code[at..dot].trim().to_owned())
        };
        assert_eq!(receiver("let a = self.0.run()").unwrap(), "self.0");
        assert_eq!(
            receiver("return Rc::clone(&self.0)\n    .run()").unwrap(),
            "Rc::clone(&self.0)"
        );
        assert_eq!(receiver("f(a[0].b?.run())").unwrap(), "a[0].b?");
        assert_eq!(receiver("return (a).run()").unwrap(), "(a)");
        assert_eq!(receiver("x + Rc::<A<B>>::new(A).run()").unwrap(), "Rc::<A<B>>::new(A)");
        assert_eq!(receiver("0..a.run()").unwrap(), "a");
        assert_eq!(receiver("!vec![a].run()").unwrap(), "vec![a]");
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
    fn boxes_for_std() {
        let message = "the size for values of type `dyn Error` cannot be known at compilation time";
        let notes = [
            "required for `refscope::Box<dyn Error>` to implement `std::error::Error`",
            "required for `refscope::Box<dyn Error>` to implement `Into<std::boxed::Box<(dyn Error)>>`",
        ];
        let given = remedy("source", "E0277", message, "", &notes).unwrap();
        assert_eq!(given, "::refscope::StdPtr::into_std(source)");
        assert_eq!(remedy("source", "E0277", message, "", &notes[..1]), None);
    }

    #[test]
    fn made_of_stds() {
        let code = "fn f(value: Box<str>) { let short: Short = value.a().into(); }";
        let message = "the trait bound `Short: From<refscope::Box<str>>` is not satisfied";
        let at = code.find("into").unwrap();
        let span = Span {
            file: "a.rs".into(),
            at: at..at + 4,
            primary: true,
            label: String::new(),
            code: None,
            made_by: None,
        };
        let line = json!({"message": {
            "level": "error", "code": {"code": "E0277"}, "message": message, "children": [], "spans": [],
        }});
        let error = Diagnostic::read(&line.to_string()).unwrap();
        let made = |code: &str, edit| super::super::swap::apply(code, vec![edit]).0;
        let after = made(code, error.made_of_ours(&span, code).unwrap());
        let expected = "fn f(value: Box<str>) { let short: Short = ::refscope::StdPtr::into_std(value.a()).into(); }";
        assert_eq!(after, expected);
        let by_hand = |code: &str, message: &str| {
            let line = json!({"message": {
                "level": "error", "code": {"code": code}, "message": message, "children": [], "spans": [],
            }});
            Diagnostic::read(&line.to_string()).unwrap().by_hand()
        };
        let deref = "cannot perform non-const deref coercion on `refscope::Box<Expr>` in constant functions";
        assert_eq!(by_hand("E0015", deref), Some("a function that is no `const`"));
        assert_eq!(by_hand("E0015", "cannot call non-const function"), None);
    }

    #[test]
    fn moves() {
        let message = "cannot move out of dereference of `refscope::Box<State>`";
        let moved = |code, label| remedy(code, "E0507", message, label, &[]).unwrap();
        assert_eq!(moved("*state", "move occurs because"), "::refscope::unbox(state)");
        assert_eq!(moved("(*self)", "move occurs because"), "::refscope::unbox(self)");
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
