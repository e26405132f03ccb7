//! What the compiler says of a program whose imports are swapped, and the edit that is the remedy.

use super::swap::{Edit, mask, words};
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
        }
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
            "E0117" if is_of_pointer => "a type of your own around the pointer",
            _ => return None,
        })
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
                "E0308" => (self.mismatch(span, code).map(|edit| named_field(&text, edit)))
                    .or_else(|| self.called_with_std(span, &text)),
                "E0271" => self.unsized_of_std(span, code),
                "E0507" => self.moved_out(span, code).or_else(|| lent(span, &text)),
                "E0277" => self.unsatisfied(span, code),
                "E0599" => self.method(span, &text),
                "E0605" => self.cast(span, code),
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
    fn mismatch(&self, span: &Span, code: &str) -> Option<Edit> {
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
            return POINTERS.into_iter().find(|name| has(name)).map(|_| whole(span, coerced(code)));
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
        if found.pointer == expected.pointer && ours(found.pointer) && !stds(found.pointer) {
            return Some(whole(span, coerced(code)));
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
    fn method(&self, span: &Span, text: &str) -> Option<Edit> {
        let found = self.message.split(" found for struct `").nth(1)?;
        let found = found.strip_prefix("Pin<").unwrap_or(found);
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
        let borrows = match declared.and_then(|declared| declared.code.as_ref()) {
            Some(receiver) => receiver.starts_with('&'),
            None => masked.contains(&format!("fn {}(self: &", &text[span.at.clone()])),
        };
        let value = if borrows {
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
    message["spans"].as_array().into_iter().flatten().filter_map(|span| {
        // What a macro has made has no text of its own; what the compiler has made of `for` and
        // `?` has.
        let made = span["expansion"]["macro_decl_name"].as_str();
        made.is_none_or(|name| name.starts_with("desugaring of")).then(|| Span::of(span))
    })
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

/// E0507: what was given to std for a method of a foreign type is only lent to it.
fn lent(span: &Span, text: &str) -> Option<Edit> {
    let call = "::refscope::StdPtr::into_std(";
    let start = text[..span.at.start].strip_suffix(call)?.len();
    text[span.at.end..].starts_with(')').then(|| {
        let value = format!("::refscope::StdPtr::as_std(&{})", &text[span.at.clone()]);
        Edit { at: start..span.at.end + 1, text: value }
    })
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
    let mut depth = 0_i32;
    let brace = before.char_indices().rev().find_map(|(at, c)| {
        depth += i32::from(matches!(c, '}' | ')' | ']')) - i32::from(matches!(c, '{' | '(' | '['));
        (depth < 0).then_some(at)
    });
    let Some(brace) = brace.filter(|at| masked.as_bytes()[*at] == b'{') else { return edit };
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
        let span =
            Span { file: "a.rs".into(), at, primary: true, label: String::new(), code: None };
        let edit = lent(&span, text).unwrap();
        let lent = super::super::swap::apply(text, vec![edit]).0;
        assert_eq!(lent, "::refscope::StdPtr::as_std(&self.a).run()");
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
