//! Rewrites a source file's imports and paths of std's pointers to refscope's.

use std::ops::Range;

/// Which pointers are swapped. Each `Weak` goes with its strong pointer.
#[derive(Clone, Debug)]
pub(super) struct Types {
    pub(super) rc: bool,
    pub(super) arc: bool,
    pub(super) boxed: bool,
    /// Names of the package's own for std, or for alloc: see [`aliases`].
    pub(super) aliases: Vec<String>,
    /// Whose examples would name no crate that they do not declare outside of `main`.
    pub(super) edition_2015: bool,
}

impl Types {
    /// Whether `std::module::name` is swapped; `name` is `self` or `*` for the whole module.
    fn has(&self, module: &str, name: &str) -> bool {
        match module {
            "rc" => self.rc && matches!(name, "Rc" | "Weak" | "self" | "*"),
            "sync" => self.arc && matches!(name, "Arc" | "Weak" | "self" | "*"),
            "boxed" => self.boxed && matches!(name, "Box" | "self" | "*"),
            _ => false,
        }
    }

    /// The crates in which std's pointers are, by the names that the package has for them.
    fn roots(&self) -> impl Iterator<Item = &str> {
        ROOTS.into_iter().chain(self.aliases.iter().map(String::as_str))
    }
}

/// What else a package calls std, or alloc, by what one of its files says: `extern crate alloc as other;`, or
/// `mod other { pub use std::*; }`.
pub(super) fn aliases(source: &str) -> Vec<String> {
    let masked = mask(source);
    let mut found = Vec::new();
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    for root in ROOTS {
        for at in words(&masked, root) {
            let (before, after) = (masked[..at].trim_end(), masked[at + root.len()..].trim_start());
            if let Some(alias) = after.strip_prefix("as ")
                && before.ends_with("crate")
            {
                found.push(name(alias));
            }
            let item = before.strip_suffix("use").map(str::trim_end);
            let is_public = item.is_some_and(|item| item.ends_with("pub") || item.ends_with(')'));
            if is_public && after.starts_with("::*") {
                // The module's own brace, before which are other items alone.
                let body = before.rfind('{').map(|open| masked[..open].trim_end());
                let module = body.map(|body| body.rsplit([' ', '\n']).next().unwrap_or_default());
                found.extend(module.zip(body).and_then(|(module, body)| {
                    let keyword = body[..body.len() - module.len()].trim_end();
                    keyword.ends_with("mod").then(|| module.to_owned())
                }));
            }
        }
    }
    found.retain(|alias| alias != "_" && !ROOTS.contains(&alias.as_str()));
    found
}

/// What else a package calls the pointers, by what one of its files says: `use std::rc::Rc as Shared;`, or
/// `type Shared<T> = Rc<T>;`.
pub(super) fn pointer_aliases(source: &str) -> Vec<String> {
    const STRONG: [&str; 3] = ["Box", "Rc", "Arc"];
    let masked = mask(source);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let name =
        |text: &str| -> String { text.trim_start().chars().take_while(|c| word(*c)).collect() };
    let mut found: Vec<String> = Vec::new();
    for pointer in STRONG {
        found.extend(words(&masked, pointer).filter_map(|at| {
            masked[at + pointer.len()..].trim_start().strip_prefix("as ").map(name)
        }));
    }
    found.extend(words(&masked, "type").filter_map(|at| {
        let (alias, of) = masked[at + 4..].split(';').next()?.split_once('=')?;
        let path = of.split('<').next()?.trim();
        let is_pointer = STRONG.contains(&path.rsplit("::").next()?.trim());
        (is_pointer && of.contains('<')).then(|| name(alias))
    }));
    found
}

const ROOTS: [&str; 3] = ["std", "alloc", "core"];

/// Replaces a range of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

/// Applies edits, of which those that overlap an earlier one are left out. Returns the text and how
/// many were applied.
pub(super) fn apply(source: &str, mut edits: Vec<Edit>) -> (String, usize) {
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let (mut text, mut from, mut count) = (String::new(), 0, 0);
    for edit in edits {
        if edit.at.start < from || edit.at.end > source.len() {
            continue;
        }
        text.push_str(&source[from..edit.at.start]);
        text.push_str(&edit.text);
        from = edit.at.end;
        count += 1;
    }
    text.push_str(&source[from..]);
    (text, count)
}

/// Returns the source with its imports and paths rewritten, and those of the examples in its documentation.
pub(super) fn swap(source: &str, types: &Types) -> String {
    let masked = mask(source);
    let uses = uses(&masked);
    let mut edits = swap_names(source, &masked, &uses, types);
    if types.boxed {
        edits.extend(import_box(source, &masked, &uses));
    }
    for example in if types.edition_2015 { Vec::new() } else { examples(source) } {
        edits.extend(swap_example(source, &example, types));
    }
    apply(source, edits).0
}

fn swap_names(source: &str, masked: &str, uses: &[Use], types: &Types) -> Vec<Edit> {
    let mut edits: Vec<_> =
        uses.iter().filter_map(|item| swap_use(source, masked, item, types)).collect();
    edits.extend(swap_paths(masked, uses, types));
    edits
}

/// An example in a comment that is documentation: the lines' code, from the marks to the ends.
pub(super) type Example = Vec<Range<usize>>;

/// Finds what rustdoc compiles.
pub(super) fn examples(source: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    // The block that is open, and its lines if it is of Rust.
    let mut current: Option<Option<Example>> = None;
    let mut start = 0;
    for line in source.split_inclusive('\n') {
        let at = start + line.len() - line.trim_start().len();
        let end = start + line.trim_end().len();
        start += line.len();
        let text = line.trim();
        let is_doc =
            text.starts_with("//!") || text.starts_with("///") && !text.starts_with("////");
        if !is_doc {
            current = None;
            continue;
        }
        let code = source[at + 3..end].trim_start();
        if let Some(info) = code.strip_prefix("```") {
            const RUST: [&str; 5] = ["", "rust", "no_run", "should_panic", "compile_fail"];
            let is_rust = |word: &str| RUST.contains(&word) || word.starts_with("edition");
            current = match current {
                Some(example) => {
                    examples.extend(example.filter(|example| !example.is_empty()));
                    None
                }
                None => Some(info.split(',').all(|word| is_rust(word.trim())).then(Vec::new)),
            };
        } else if let Some(Some(example)) = &mut current {
            example.push(at + 3..end);
        }
    }
    examples
}

/// Returns a text of the same length in which all but the examples' code is blank, and lines end where they do.
pub(super) fn shown_examples(source: &str) -> String {
    let lines: Example = examples(source).into_iter().flatten().collect();
    let shown = shown(source, &lines).unwrap_or_default();
    let ends = shown.bytes().zip(source.bytes());
    let shown = ends.map(|(shown, of)| if of == b'\n' { of } else { shown }).collect();
    String::from_utf8(shown).unwrap_or_default()
}

/// A text of the same length in which all but the example's code is blank.
fn shown(source: &str, example: &Example) -> Option<String> {
    let mut code = vec![b' '; source.len()];
    for line in example {
        code[line.clone()].copy_from_slice(&source.as_bytes()[line.clone()]);
        // A line that is compiled and not shown.
        let hash = line.end - source[line.clone()].trim_start().len();
        if matches!(&source.as_bytes()[hash..line.end], [b'#'] | [b'#', b' ', ..]) {
            code[hash] = b' ';
        }
        if let Some(end) = code.get_mut(line.end) {
            *end = b'\n';
        }
    }
    String::from_utf8(code).ok()
}

fn swap_example(source: &str, example: &Example, types: &Types) -> Vec<Edit> {
    let Some(code) = shown(source, example) else { return Vec::new() };
    let masked = mask(&code);
    let uses = uses(&masked);
    let mut edits = swap_names(&code, &masked, &uses, types);
    for edit in &mut edits {
        // On one line, which has its mark.
        edit.text = edit.text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    if types.boxed && !import_box(&code, &masked, &uses).is_empty() && !code.contains("#![") {
        let first = &example[0];
        let line = source[..first.start].rfind('\n').map_or(0, |at| at + 1);
        let text = format!("{} # use refscope::Box;\n", &source[line..first.start]);
        edits.push(Edit { at: line..line, text });
    }
    edits
}

/// Returns a text of the same length with comments, strings and characters blanked.
pub(super) fn mask(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skip(bytes, at);
        if end > at {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            at = end;
        } else {
            // So that the rest is ASCII. No path that is looked for has other letters.
            if !bytes[at].is_ascii() {
                out[at] = b'_';
            }
            at += 1;
        }
    }
    String::from_utf8(out).expect("ASCII")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Returns where the comment or literal that begins at `at` ends, or `at` where none does.
fn skip(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let find = |what: u8, from: usize| {
        bytes[from..].iter().position(|byte| *byte == what).map_or(bytes.len(), |n| from + n)
    };
    if rest.starts_with(b"//") {
        return find(b'\n', at);
    }
    if rest.starts_with(b"/*") {
        let (mut depth, mut end) = (1, at + 2);
        while end < bytes.len() && depth > 0 {
            match &bytes[end..] {
                [b'*', b'/', ..] => (depth, end) = (depth - 1, end + 2),
                [b'/', b'*', ..] => (depth, end) = (depth + 1, end + 2),
                _ => end += 1,
            }
        }
        return end;
    }
    if rest[0] == b'"' {
        let mut end = at + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        return (end + 1).min(bytes.len());
    }
    if rest[0] == b'r' && (at == 0 || !is_word(bytes[at - 1]) || b"bc".contains(&bytes[at - 1])) {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
            let from = at + 2 + hashes;
            let found = bytes[from..].windows(close.len()).position(|window| window == close);
            return found.map_or(bytes.len(), |n| from + n + close.len());
        }
    }
    if rest[0] == b'\'' {
        // A character, and no lifetime.
        return match rest {
            [_, b'\\', ..] => find(b'\'', at + 3) + 1,
            [_, first, ..] => {
                let width = match first {
                    0..0x80 => 1,
                    0x80..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    _ => 4,
                };
                if rest.get(1 + width) == Some(&b'\'') { at + 2 + width } else { at }
            }
            _ => at,
        };
    }
    at
}

/// A `use` item: from the keyword, or its visibility, to the semicolon.
#[derive(Debug)]
struct Use {
    item: Range<usize>,
    visibility: Range<usize>,
    tree: Range<usize>,
}

/// Finds the words `word` in a masked text.
pub(super) fn words<'a>(masked: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    masked.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let bytes = masked.as_bytes();
        (at == 0 || !is_word(bytes[at - 1]) && bytes[at - 1] != b'$')
            && bytes.get(at + word.len()).is_none_or(|byte| !is_word(*byte))
    })
}

fn uses(masked: &str) -> Vec<Use> {
    let mut found = Vec::new();
    for at in words(masked, "use") {
        let Some(end) = masked[at..].find(';').map(|n| at + n) else { continue };
        let tree = at + 3..end;
        // `impl Trait + use<'a>`, and what a macro's pattern has.
        if masked[tree.clone()].contains(['<', '$', '(', '=']) {
            continue;
        }
        let before = masked[..at].trim_end();
        let start =
            if before.ends_with("pub") && words(before, "pub").last() == Some(before.len() - 3) {
                before.len() - 3
            } else if before.ends_with(')') {
                before
                    .rfind("pub")
                    .filter(|pub_at| !before[*pub_at..].contains([';', '}', '{']))
                    .unwrap_or(at)
            } else {
                at
            };
        found.push(Use { item: start..end + 1, visibility: start..at, tree });
    }
    found
}

/// A leaf of a `use` tree: its path, and the range of what to take out for it.
#[derive(Debug)]
struct Leaf {
    path: Vec<String>,
    alias: Option<String>,
}

/// Reads a tree into its leaves, by depth.
fn leaves(tree: &str, prefix: &[String], out: &mut Vec<Leaf>) {
    let tree = tree.trim().trim_start_matches("::");
    if let Some(open) = tree.find('{') {
        let mut prefix = prefix.to_vec();
        prefix.extend(segments(&tree[..open]));
        let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
        for part in split(inner) {
            leaves(part, &prefix, out);
        }
    } else if !tree.is_empty() {
        let (path, alias) = match tree.split_once(" as ") {
            Some((path, alias)) => (path, Some(alias.trim().to_owned())),
            None => (tree, None),
        };
        let path = prefix.iter().cloned().chain(segments(path)).collect();
        out.push(Leaf { path, alias });
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Splits at commas that are in no braces.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

impl Leaf {
    /// The module and the name that is swapped, if one is.
    fn swapped(&self, types: &Types) -> Option<(&str, &str)> {
        let mut path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        // An alias is one of the package's modules.
        let is_own = |name: &str| matches!(name, "crate" | "self" | "super");
        if path.len() > 2 && is_own(path[0]) && types.aliases.iter().any(|alias| alias == path[1]) {
            path.remove(0);
        }
        let (root, module, name) = match path[..] {
            [root, module] => (root, module, "self"),
            [root, module, name] => (root, module, name),
            _ => return None,
        };
        (types.roots().any(|of| of == root) && types.has(module, name)).then_some((module, name))
    }

    fn text(&self) -> String {
        let mut path = self.path.join("::");
        // A module's own name is `self` in braces.
        if let Some(module) = path.strip_suffix("::self") {
            path = module.to_owned();
            if self.alias.is_none() {
                return path;
            }
        }
        match &self.alias {
            Some(alias) => format!("{path} as {alias}"),
            None => path,
        }
    }
}

/// Rewrites one `use` item: what is swapped becomes items of its own, grouped by module, and the
/// rest stays together.
fn swap_use(source: &str, masked: &str, item: &Use, types: &Types) -> Option<Edit> {
    let mut all = Vec::new();
    leaves(&masked[item.tree.clone()], &[], &mut all);
    if !all.iter().any(|leaf| leaf.swapped(types).is_some()) {
        return None;
    }
    let (ours, rest): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|leaf| leaf.swapped(types).is_some());
    let mut trees: Vec<String> = Vec::new();
    for module in ["boxed", "rc", "sync"] {
        let names: Vec<String> = (ours.iter())
            .filter_map(|leaf| {
                let (of, name) = leaf.swapped(types)?;
                let alias =
                    leaf.alias.as_ref().map_or(String::new(), |alias| format!(" as {alias}"));
                (of == module).then(|| format!("{name}{alias}"))
            })
            .collect();
        match &names[..] {
            [] => {}
            [one] if one == "self" => trees.push(format!("refscope::{module}")),
            [one] if !one.starts_with("self") => trees.push(format!("refscope::{module}::{one}")),
            _ => trees.push(format!("refscope::{module}::{{{}}}", names.join(", "))),
        }
    }
    // What shares its first two segments stays in one tree.
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for leaf in &rest {
        let text = leaf.text();
        let head = match leaf.path.len() {
            0..3 => String::new(),
            _ => leaf.path[..2].join("::"),
        };
        let tail = if head.is_empty() || leaf.path.last().is_some_and(|last| last == "self") {
            groups.push((String::new(), vec![text]));
            continue;
        } else {
            text[head.len() + 2..].to_owned()
        };
        match groups.iter_mut().find(|(of, _)| *of == head) {
            Some((_, tails)) => tails.push(tail),
            None => groups.push((head, vec![tail])),
        }
    }
    for (head, tails) in groups {
        trees.push(match (&head[..], &tails[..]) {
            ("", [one]) => one.clone(),
            (_, [one]) => format!("{head}::{one}"),
            _ => format!("{head}::{{{}}}", tails.join(", ")),
        });
    }
    let line = masked[..item.item.start].rfind('\n').map_or(0, |n| n + 1);
    let indent: String = source[line..].chars().take_while(|c| *c == ' ' || *c == '\t').collect();
    let attributes = attributes(masked, item.item.start);
    let (attributes, visibility) = (&source[attributes], &source[item.visibility.clone()]);
    let separator = match attributes.trim() {
        "" => format!("\n{indent}"),
        attributes => format!("\n{indent}{attributes}\n{indent}"),
    };
    let uses: Vec<_> = trees.into_iter().map(|tree| format!("{visibility}use {tree};")).collect();
    Some(Edit { at: item.item.clone(), text: uses.join(&separator) })
}

/// The attributes in front of an item.
fn attributes(masked: &str, item: usize) -> Range<usize> {
    let mut start = item;
    loop {
        let before = masked[..start].trim_end();
        if !before.ends_with(']') {
            return start..item;
        }
        let mut depth = 0_i32;
        let open = before.char_indices().rev().find_map(|(at, c)| {
            depth += i32::from(c == ']') - i32::from(c == '[');
            (depth == 0).then_some(at)
        });
        match open {
            Some(open) if before[..open].ends_with('#') => start = open - 1,
            _ => return start..item,
        }
    }
}

/// Rewrites paths in the text, such as `std::rc::Rc::new(…)`.
fn swap_paths(masked: &str, uses: &[Use], types: &Types) -> Vec<Edit> {
    let mut edits = Vec::new();
    for root in types.roots() {
        let is_alias = !ROOTS.contains(&root);
        for at in words(masked, root) {
            if uses.iter().any(|item| item.item.contains(&at)) {
                continue;
            }
            // `extern crate alloc;` is no path.
            if !masked[at + root.len()..].trim_start().starts_with("::") {
                continue;
            }
            let mut parts = masked[at..].split("::");
            let (_, module) = (parts.next(), parts.next().unwrap_or_default());
            let name: String = (parts.next().unwrap_or_default().chars())
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if name.is_empty() || !types.has(module, &name) {
                continue;
            }
            let before = masked[..at].trim_end();
            // `::std` is std as well; another crate's or module's `std` is not.
            let own = |path: &str| {
                let start = ["$crate", "crate", "self", "super"].map(|own| path.strip_suffix(own));
                start.into_iter().flatten().next().map(str::len)
            };
            let start = match before.strip_suffix("::") {
                Some(path) if is_alias && own(path).is_some() => own(path).unwrap_or(at),
                Some(path) if path.ends_with(|c: char| is_word(c as u8) || c == '>') => continue,
                Some(path) => path.len(),
                None => at,
            };
            edits.push(Edit { at: start..at + root.len(), text: "::refscope".to_owned() });
        }
    }
    edits
}

/// Imports `Box`, which std's prelude has, into each module that names it.
fn import_box(source: &str, masked: &str, uses: &[Use]) -> Vec<Edit> {
    let mut edits = Vec::new();
    // The bodies of inline modules, and the file: an inner one's text is not the outer one's.
    let mut bodies: Vec<_> = std::iter::once(0..masked.len()).collect();
    for at in words(masked, "mod") {
        let rest = &masked[at + 3..];
        let Some(open) = rest.find(['{', ';']).filter(|n| rest.as_bytes()[*n] == b'{') else {
            continue;
        };
        if rest[..open].trim().contains(|c: char| !is_word(c as u8)) {
            continue;
        }
        let start = at + 3 + open + 1;
        let mut depth = 1;
        let end = masked[start..].char_indices().find_map(|(n, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (depth == 0).then_some(start + n)
        });
        bodies.push(start..end.unwrap_or(masked.len()));
    }
    for body in &bodies {
        let own = |at: &usize| {
            body.contains(at)
                && !bodies.iter().any(|other| other.contains(at) && other.len() < body.len())
        };
        let named = words(masked, "Box").filter(own).any(|at| !masked[..at].ends_with("::"));
        let imported = uses.iter().filter(|item| own(&item.item.start)).any(|item| {
            let mut all = Vec::new();
            leaves(&masked[item.tree.clone()], &[], &mut all);
            all.iter().any(|leaf| {
                leaf.alias.as_deref().or(leaf.path.last().map(String::as_str)) == Some("Box")
            })
        });
        if !named || imported {
            continue;
        }
        let at = if body.start == 0 { after_inner_attributes(source, masked) } else { body.start };
        let text = if body.start == 0 { "use refscope::Box;\n" } else { "\nuse refscope::Box;" };
        edits.push(Edit { at: at..at, text: text.to_owned() });
    }
    edits
}

/// Where the first item of a file may stand: after its inner attributes and documentation.
fn after_inner_attributes(source: &str, masked: &str) -> usize {
    let (mut after, mut line) = (0, 0);
    for text in source.split_inclusive('\n') {
        let end = line + text.len();
        let trimmed = text.trim_start();
        if line >= after {
            if trimmed.starts_with("#!") {
                let mut depth = 0_i32;
                let close = masked[line..].char_indices().find_map(|(n, c)| {
                    depth += i32::from(c == '[') - i32::from(c == ']');
                    (c == ']' && depth == 0).then_some(line + n)
                });
                let close = close.unwrap_or(line);
                after = masked[close..].find('\n').map_or(masked.len(), |n| close + n + 1);
            } else if trimmed.starts_with("//!") || trimmed.starts_with("/*!") {
                after = end;
            } else if !masked[line..end].trim().is_empty() || trimmed.starts_with("///") {
                break;
            }
        }
        line = end;
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTED: Types =
        Types { rc: true, arc: true, boxed: false, aliases: Vec::new(), edition_2015: false };

    #[test]
    fn other_names_of_std() {
        let source = "mod lib { extern crate std; pub use std::*; }\nextern crate alloc as __alloc;\n\
            extern crate core as _;\nmod core_too { use core::*; }\n";
        let aliases = aliases(source);
        assert_eq!(aliases, ["lib", "__alloc"]);
        let types = Types { aliases, ..COUNTED };
        for (from, to) in [
            ("pub use lib::{rc, slice};", "pub use refscope::rc;\npub use lib::slice;"),
            ("use crate::lib::rc::Rc;", "use refscope::rc::Rc;"),
            ("use other::lib::rc::Rc;", "use other::lib::rc::Rc;"),
            ("fn f(_: $crate::__alloc::rc::Rc<u8>) {}", "fn f(_: ::refscope::rc::Rc<u8>) {}"),
            ("fn f(_: a::lib::rc::Rc<u8>) {}", "fn f(_: a::lib::rc::Rc<u8>) {}"),
        ] {
            assert_eq!(swap(from, &types), to);
        }
    }

    #[test]
    fn imports() {
        for (from, to) in [
            ("use std::rc::Rc;", "use refscope::rc::Rc;"),
            (
                "pub(crate) use std::sync::{Arc, Weak as W};",
                "pub(crate) use refscope::sync::{Arc, Weak as W};",
            ),
            (
                "use std::{cell::{Cell, RefCell}, rc::{Rc, Weak}};",
                "use refscope::rc::{Rc, Weak};\nuse std::cell::{Cell, RefCell};",
            ),
            (
                "  use std::sync::{Arc, Mutex, atomic::{AtomicU8, Ordering}};",
                "  use refscope::sync::Arc;\n  use std::sync::{Mutex, atomic::AtomicU8, atomic::Ordering};",
            ),
            (
                "#[cfg(x)]\nuse std::{fmt, rc::Rc};",
                "#[cfg(x)]\nuse refscope::rc::Rc;\n#[cfg(x)]\nuse std::fmt;",
            ),
            ("use std::sync;", "use refscope::sync;"),
            ("use std::sync::{self, Arc};", "use refscope::sync::{self, Arc};"),
            ("use std::sync::*;", "use refscope::sync::*;"),
            ("use std::sync::Mutex;", "use std::sync::Mutex;"),
            ("use crate::std::rc::Rc;", "use crate::std::rc::Rc;"),
            (
                "extern crate alloc;\n\nuse alloc::rc::Rc;",
                "extern crate alloc;\n\nuse refscope::rc::Rc;",
            ),
        ] {
            assert_eq!(swap(from, &COUNTED), to);
        }
        let only_rc = &Types { arc: false, ..COUNTED };
        assert_eq!(
            swap("use std::{rc::Rc, sync::Arc};", only_rc),
            "use refscope::rc::Rc;\nuse std::sync::Arc;"
        );
    }

    #[test]
    fn paths_but_not_texts() {
        let from = "fn f(a: std::rc::Rc<u8>, b: &::std::sync::Arc<str>) { \
            let _ = \"std::rc::Rc\"; /* std::rc::Rc */ my::std::rc::Rc::new('\"', std::sync::Mutex::new(r#\"\"#)); \
            let c: alloc::rc::Weak<u8>; } // std::rc::Rc";
        let to = "fn f(a: ::refscope::rc::Rc<u8>, b: &::refscope::sync::Arc<str>) { \
            let _ = \"std::rc::Rc\"; /* std::rc::Rc */ my::std::rc::Rc::new('\"', std::sync::Mutex::new(r#\"\"#)); \
            let c: ::refscope::rc::Weak<u8>; } // std::rc::Rc";
        assert_eq!(swap(from, &COUNTED), to);
    }

    #[test]
    fn examples_in_documentation() {
        let boxed = &Types { boxed: true, ..COUNTED };
        let from = "/// Says `std::rc::Rc`.\n///\n/// ```\n/// # use std::{cell::Cell, rc::Rc};\n/// let a: Box<u8> = Box::new(1);\n\
            /// ```\n///\n/// ```text\n/// use std::rc::Rc;\n/// ```\n/// use std::rc::Rc;\nfn f() {}\n\n    //! ```no_run\n    //! use std::{\n    \
            //!     sync::Arc, fmt};\n    //! ```\n// use std::rc::Rc;\n";
        let to = "/// Says `std::rc::Rc`.\n///\n/// ```\n/// # use refscope::Box;\n/// # use refscope::rc::Rc; use std::cell::Cell;\n\
            /// let a: Box<u8> = Box::new(1);\n/// ```\n///\n/// ```text\n/// use std::rc::Rc;\n/// ```\n/// use std::rc::Rc;\nfn f() {}\n\n    \
            //! ```no_run\n    //! use refscope::sync::Arc; use std::fmt;\n    //! ```\n// use std::rc::Rc;\n";
        assert_eq!(swap(from, boxed), to);
    }

    #[test]
    fn boxes() {
        let boxed = &Types { boxed: true, ..COUNTED };
        let from = "//! Docs.\n#![allow(dead_code)]\n\n/// A type.\nstruct A(Box<u8>);\nmod none {}\nmod b { fn f(_: Box<u8>) {} }\n";
        let to = "//! Docs.\n#![allow(dead_code)]\nuse refscope::Box;\n\n/// A type.\nstruct A(Box<u8>);\nmod none {}\n\
            mod b {\nuse refscope::Box; fn f(_: Box<u8>) {} }\n";
        assert_eq!(swap(from, boxed), to);
        assert_eq!(swap("mod a;\nfn f() {}", boxed), "mod a;\nfn f() {}");
        assert_eq!(
            swap("use std::boxed::Box;\nfn f(_: Box<u8>) {}", boxed),
            "use refscope::boxed::Box;\nfn f(_: Box<u8>) {}"
        );
    }
}
