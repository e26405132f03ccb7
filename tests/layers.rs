//! The layers of the library, which `src/lib.rs` draws: a module uses those below it, and none above.
//!
//! The sources are read as text: each path that begins with `crate` or climbs to it by `super` is an arrow from the file's
//! module to the path's. What is only in documentation, or in unit tests, is none. A method that another layer gives a type is
//! not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// From bottom to top, and in each layer its modules, likewise.
const LAYERS: &[(&str, &[&str])] = &[
    ("Foundations", &["text", "json", "source_file", "alloc", "lock", "event", "span", "stack"]),
    ("Runtime", &["primitive", "runtime"]),
    (
        "Pointer types",
        &[
            "std_ptr", "repr", "forward", "make_mut", "boxed", "sync", "rc", "task", "off",
            "pinned", "foreign", "sealed", "unsize",
        ],
    ),
    ("Recording", &["fork", "exit", "model", "sink"]),
    ("Reports", &["locate", "analysis", "render"]),
    ("Switches", &["monitor", "leaks", "marks", "env", "start"]),
    ("Inspection", &["holders", "watch"]),
];

/// What stands beside the pointer types, and not above them.
const BESIDE_POINTERS: &[&str] = &["Recording", "Reports", "Switches"];

/// Documentation and tests of the whole.
const OF_THE_WHOLE: &[&str] =
    &["lib", "api", "guarantees", "interrupted", "limits", "must_not_compile"];

/// What the root itself has: constants, and the macros that it exports with what they expand to.
const OF_THE_ROOT: &[&str] = &["AT_FIRST_BIRTH", "ENABLED", "__coerce", "__private"];

/// The modules that a file of `src/off` stands in for, or is a part of.
const OFF: &[(&str, &[&str])] = &[
    ("alive", &["model", "alive"]),
    ("fork", &["fork"]),
    ("monitor", &["monitor"]),
    ("runtime", &["runtime"]),
    ("sinks", &["sink", "off"]),
];

/// A path that a file names, from the root, and the line.
type Named = (usize, Vec<String>);

/// The source without comments, texts and characters, and without unit tests; line for line.
fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let begins = |text: &str| rest.iter().copied().take(text.len()).eq(text.chars());
        let before = code.chars().last().unwrap_or(' ');
        let hashes = rest.iter().skip(1).take_while(|c| **c == '#').count();
        let is_raw = rest[0] == 'r'
            && rest.get(1 + hashes) == Some(&'"')
            && (before == 'b' || !before.is_alphanumeric() && before != '_');
        let len = if begins("//") {
            rest.iter().take_while(|c| **c != '\n').count()
        } else if begins("/*") {
            let (mut depth, mut end) = (0, 0);
            loop {
                match (rest[end], rest[end + 1]) {
                    ('/', '*') => (depth, end) = (depth + 1, end + 2),
                    ('*', '/') => (depth, end) = (depth - 1, end + 2),
                    _ => end += 1,
                }
                if depth == 0 {
                    break end;
                }
            }
        } else if is_raw {
            let end: Vec<char> = std::iter::once('"').chain((0..hashes).map(|_| '#')).collect();
            let text = &rest[2 + hashes..];
            let found = text.windows(end.len()).position(|window| window == end);
            2 + hashes + found.expect("a text ends") + end.len()
        } else if rest[0] == '"' {
            let mut end = 1;
            while rest[end] != '"' {
                end += if rest[end] == '\\' { 2 } else { 1 };
            }
            end + 1
        } else if begins("'\\") {
            3 + rest[3..].iter().position(|c| *c == '\'').expect("a character ends") + 1
        } else if rest[0] == '\'' && rest.get(2) == Some(&'\'') {
            3
        } else {
            code.push(rest[0]);
            at += 1;
            continue;
        };
        code.extend(rest[..len].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at += len;
    }
    without_tests(&code)
}

/// Without modules that are there for unit tests alone.
fn without_tests(code: &str) -> String {
    let (mut kept, mut rest) = (String::new(), code);
    while let Some(start) =
        ["#[cfg(test)]", "#[cfg(all(test,"].iter().filter_map(|it| rest.find(it)).min()
    {
        let item = &rest[start..];
        let item_end = item.find(['{', ';']).expect("an item follows");
        let is_module = item[..item_end].split_whitespace().any(|word| word == "mod");
        let len = if is_module && item[item_end..].starts_with('{') {
            item_end + braces(&item[item_end..])
        } else {
            item.find(']').expect("the attribute ends")
        };
        kept.push_str(&rest[..start]);
        kept.extend(item[..len].chars().filter(|c| *c == '\n'));
        rest = &item[len..];
    }
    kept + rest
}

/// The length of what stands in braces, with these.
fn braces(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    panic!("braces are closed")
}

/// The words and signs of the code, with their lines. A path's `::` is one sign.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let len = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((line, &rest[..len]));
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// The paths that a file names from the root; `module` is the file's own.
fn paths(code: &str, module: &[&str]) -> Vec<Named> {
    let tokens = tokens(code);
    let word = |at: usize| tokens.get(at).map_or("", |(_, word)| *word);
    let mut inner: Vec<(usize, &str)> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    let mut named = Vec::new();
    while at < tokens.len() {
        match word(at) {
            "{" => {
                depth += 1;
                if at >= 2 && word(at - 2) == "mod" {
                    inner.push((depth, word(at - 1)));
                }
            }
            "}" => {
                inner.retain(|(of, _)| *of != depth);
                depth -= 1;
            }
            "crate" if word(at + 1) == "::" && word(at.wrapping_sub(1)) != "::" => {
                at = tree(&tokens, at + 2, &mut Vec::new(), &mut named);
                continue;
            }
            "super" if word(at + 1) == "::" => {
                let mut here: Vec<String> = module.iter().map(|it| (*it).to_owned()).collect();
                here.extend(inner.iter().map(|(_, name)| (*name).to_owned()));
                while word(at) == "super" && word(at + 1) == "::" {
                    here.pop().expect("there is a module above");
                    at += 2;
                }
                at = tree(&tokens, at, &mut here, &mut named);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    named
}

/// Follows a path, and the groups in it, to its end.
fn tree(
    tokens: &[(usize, &str)],
    mut at: usize,
    prefix: &mut Vec<String>,
    named: &mut Vec<Named>,
) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |(_, word)| *word);
    let line = tokens[at].0;
    let before = prefix.len();
    if word(at) == "{" {
        at += 1;
        while word(at) != "}" {
            at = tree(tokens, at, prefix, named);
            if word(at) == "as" {
                at += 2;
            }
            if word(at) == "," {
                at += 1;
            }
        }
        return at + 1;
    }
    // A macro's parameter stands for any of the pointer types' modules.
    let is_parameter = word(at) == "$";
    at += usize::from(is_parameter);
    prefix.push(if is_parameter { "sync".to_owned() } else { word(at).to_owned() });
    at += 1;
    let next = word(at + 1).chars().next().unwrap_or(' ');
    if word(at) == "::" && (next.is_alphabetic() || "_${*".contains(next)) {
        at = tree(tokens, at + 1, prefix, named);
    } else {
        named.push((line, prefix.clone()));
    }
    prefix.truncate(before);
    at
}

/// What the root names, by the module that it comes from; and the groups in which the root declares its modules.
struct Root {
    from: BTreeMap<String, String>,
    groups: Vec<(String, BTreeSet<String>)>,
}

impl Root {
    fn read(source: &str) -> Self {
        let code = code(source);
        let mut from = BTreeMap::new();
        for uses in code.split("pub use ").skip(1) {
            let text = &uses[..uses.find(';').expect("a use ends")];
            let mut named = Vec::new();
            tree(&tokens(text), 0, &mut Vec::new(), &mut named);
            for (_, path) in named.iter().filter(|(_, path)| path.len() > 1) {
                from.insert(path.last().unwrap().clone(), path[0].clone());
            }
        }
        let mut groups: Vec<(String, BTreeSet<String>)> = Vec::new();
        for line in source.lines() {
            let declared = line.strip_suffix(';').map(|line| line.trim_start_matches("pub "));
            let declared = declared.and_then(|line| line.strip_prefix("mod "));
            if let Some(name) = line.strip_prefix("// ").and_then(|it| it.strip_suffix('.')) {
                groups.push((name.to_owned(), BTreeSet::new()));
            } else if let (Some(name), Some((_, group))) = (declared, groups.last_mut()) {
                group.insert(name.to_owned());
            }
        }
        groups.retain(|(_, group)| !group.is_empty());
        Self { from, groups }
    }
}

/// A module's layer, and its height in the whole.
fn place(module: &str) -> Option<(&'static str, usize)> {
    let all = LAYERS.iter().flat_map(|(layer, modules)| modules.iter().map(move |it| (layer, it)));
    all.zip(0..).find_map(|((layer, it), height)| (*it == module).then_some((*layer, height)))
}

/// The module that a file is, as the compiler sees it.
fn module_of(file: &str) -> Vec<&str> {
    let path: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    match path[..] {
        ["off", name] => OFF
            .iter()
            .find(|(it, _)| *it == name)
            .unwrap_or_else(|| panic!("{file}: a new one?"))
            .1
            .to_vec(),
        _ => path,
    }
}

/// What is wrong in a file, and how many arrows it has to other modules.
fn check(file: &str, source: &str, root: &Root) -> (Vec<String>, usize) {
    let module = module_of(file);
    if OF_THE_WHOLE.contains(&module[0]) {
        return (Vec::new(), 0);
    }
    let Some(own) = place(module[0]) else {
        return (vec![format!("src/{file}: it is in no layer")], 0);
    };
    let (mut wrong, mut arrows) = (Vec::new(), 0);
    for (line, path) in paths(&code(source), &module) {
        // Without tracing some modules come from `off`.
        let named = Some(&path[0]).filter(|name| place(name).is_some());
        let first = named.or_else(|| root.from.get(&path[0])).unwrap_or(&path[0]);
        if first == module[0] || OF_THE_ROOT.contains(&first.as_str()) {
            continue;
        }
        arrows += 1;
        let Some(to) = place(first) else {
            wrong.push(format!("src/{file}:{line}: {} is in no layer", path.join("::")));
            continue;
        };
        let apart = |one: &str, two: &str| one == "Pointer types" && BESIDE_POINTERS.contains(&two);
        if to.1 >= own.1 || apart(own.0, to.0) || apart(to.0, own.0) {
            wrong.push(format!(
                "src/{file}:{line}: {} is {}, which is not below {}, {}",
                path.join("::"),
                to.0,
                module[0],
                own.0
            ));
        }
    }
    (wrong, arrows)
}

/// All files below a folder, by their paths from `src`.
fn files(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), &format!("{prefix}{name}/"), found);
        } else if name.ends_with(".rs") {
            found.push((format!("{prefix}{name}"), std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

fn library() -> (Vec<(String, String)>, Root) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, "", &mut found);
    let root = Root::read(&std::fs::read_to_string(root.join("lib.rs")).unwrap());
    (found, root)
}

#[test]
fn no_arrow_runs_upwards() {
    let (files, root) = library();
    let (mut wrong, mut arrows, mut seen) = (Vec::new(), 0, BTreeSet::new());
    for (file, source) in &files {
        let (more, of_file) = check(file, source, &root);
        wrong.extend(more);
        arrows += of_file;
        seen.insert(module_of(file)[0]);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // It is not blind: each module has been seen, and nothing else, and the arrows are there.
    let all = LAYERS.iter().flat_map(|(_, modules)| *modules).chain(OF_THE_WHOLE);
    assert_eq!(seen, all.copied().collect());
    assert!(files.len() >= 230 && arrows > 900, "{arrows} arrows in {} files", files.len());
}

/// The root has its modules in groups with the names of the layers, the uppermost first.
#[test]
fn the_root_draws_the_same_layers() {
    let (_, root) = library();
    let layers = LAYERS.iter().rev().map(|(name, modules)| (*name, *modules));
    let expected = layers.map(|(name, modules)| {
        (name.to_owned(), modules.iter().map(|it| (*it).to_owned()).collect())
    });
    let whole = OF_THE_WHOLE.iter().filter(|it| **it != "lib").map(|it| (*it).to_owned()).collect();
    let expected: Vec<_> =
        expected.chain([("Documentation, and tests".to_owned(), whole)]).collect();
    assert_eq!(root.groups, expected);
}

/// The models include what is at the bottom, and nothing that reports.
#[test]
fn the_models_include_the_lowest_layers_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/loom");
    let mut models = Vec::new();
    files(&root, "", &mut models);
    let mut included = BTreeSet::new();
    for (_, source) in &models {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(path) = line.strip_prefix("#[path = \"../../src") else { continue };
            let path = path.trim_end_matches("\"]").trim_start_matches('/').trim_end_matches(".rs");
            if lines[at + 1].ends_with('{') && path.is_empty() {
                let inner = lines[at + 2..].iter().take_while(|line| **line != "}");
                let names = inner.filter_map(|line| line.strip_prefix("pub(crate) mod "));
                included.extend(names.map(|name| name.trim_end_matches(';').to_owned()));
            } else {
                included.insert(path.split('/').next().unwrap().to_owned());
            }
        }
    }
    assert!(included.contains("runtime"), "{included:?}");
    for module in &included {
        let (layer, _) = place(module).unwrap_or_else(|| panic!("{module} is in no layer"));
        assert!(["Foundations", "Runtime"].contains(&layer), "{module} is {layer}");
    }
}

/// An arrow upwards is found wherever it stands, and what is none is not taken for one.
#[test]
fn arrows_put_in_by_hand() {
    let (_, root) = library();
    let wrong = |file: &str, source: &str| check(file, source, &root).0;
    for (file, source, line) in [
        ("runtime/x.rs", "use crate::render::Terminal;", 1),
        (
            "runtime/x.rs",
            "\n\nuse crate::{\n    event::{Op, Time},\n    model::{replay::{Replay}},\n};",
            5,
        ),
        ("runtime/a/b.rs", "fn f() {\n    super::super::super::env::read();\n}", 2),
        ("runtime/x.rs", "mod inner {\n    use super::super::super::leaks;\n}", 2),
        ("runtime/x.rs", "fn f() -> usize {\n    /* '\" */ crate::alive().len()\n}", 2),
        (
            "runtime/x.rs",
            "fn f<'a>(it: &'a str) -> char { let _ = \"\\\"//\"; '\\'' }\nuse crate::sink;",
            2,
        ),
        ("off/alive.rs", "use super::super::analysis::LeakReport;", 1),
        ("model/x.rs", "use crate::Arc;", 1),
        ("boxed.rs", "use crate::model::Recording;", 1),
        ("std_ptr.rs", "macro_rules! m { ($m:ident) => { crate::$m::Box } }", 1),
        ("locate.rs", "use crate::analysis::Part;", 1),
        ("event.rs", "use crate::nowhere::It;", 1),
        ("nowhere.rs", "", 0),
    ] {
        let found = wrong(file, source);
        let place =
            if line == 0 { format!("src/{file}: ") } else { format!("src/{file}:{line}: ") };
        assert!(found.len() == 1 && found[0].starts_with(&place), "{file} {source}: {found:?}");
    }
    for (file, source) in [
        ("runtime/x.rs", "/// See [`Terminal`](crate::render::Terminal).\nuse crate::event::Op;"),
        ("runtime/x.rs", "const TEXT: &str = r#\"crate::render \"#;\n/* crate::env */"),
        ("runtime/x.rs", "#[cfg(test)]\nmod tests {\n    use crate::render::Terminal;\n}"),
        ("runtime/x.rs", "use super::slab::publish;\npub(in crate::runtime) fn f() {}"),
        ("model/x/y.rs", "use super::super::replay;\nuse crate::runtime::view;"),
        ("holders.rs", "use crate::{Arc, render};"),
    ] {
        assert_eq!(wrong(file, source), [""; 0], "{file} {source}");
    }
}
