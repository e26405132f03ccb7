//! Names of types, as `std::any::type_name` and as debug information have them.

/// Namespaces whose fields say nothing to who reads a path: std's, refscope's, and those of locks and collections.
const FOREIGN: [&str; 27] = [
    "alloc",
    "arc_swap",
    "arrayvec",
    "core",
    "crossbeam_channel",
    "crossbeam_epoch",
    "crossbeam_utils",
    "dashmap",
    "futures_channel",
    "futures_core",
    "futures_util",
    "hashbrown",
    "indexmap",
    "lock_api",
    "once_cell",
    "parking_lot",
    "parking_lot_core",
    "pin_project_lite",
    "refscope",
    "sharded_slab",
    "slab",
    "slotmap",
    "smallvec",
    "spin",
    "std",
    "tokio",
    "tokio_util",
];

/// What the names of one type have in common: the crate, the last name that no closure has, and how many closures
/// and async blocks deep it is. The ways to a method differ: `<app::A as app::B>::run`, `app::{impl#2}::run`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    first: String,
    last: String,
    closures: usize,
}

impl Key {
    pub(super) fn last(&self) -> &str {
        &self.last
    }
}

pub(super) fn is_foreign(namespace: &str) -> bool {
    FOREIGN.binary_search(&namespace).is_ok()
}

/// See [`Key`].
pub(super) fn key(name: &str) -> Key {
    let mut segments = Vec::new();
    split(name, &mut segments);
    let closures = segments.iter().filter(|segment| is_closure(segment)).count();
    let is_named = |segment: &&&str| !is_closure(segment);
    let last = segments.iter().rfind(is_named).map_or("", |segment| segment);
    let first = segments.first().copied().unwrap_or("");
    Key { first: first.to_owned(), last: last.to_owned(), closures }
}

/// The crates that a name names.
pub(super) fn crates(name: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    name.split(move |c: char| !is_part(c) && c != ':' && !"{}#".contains(c))
        .filter_map(|path| path.split_once("::"))
        .map(|(first, _)| first)
        .filter(|first| !first.is_empty())
}

/// `{{closure}}`, `{closure_env#0}`, `{async_block_env#1}`.
pub(super) fn is_closure(segment: &str) -> bool {
    segment.starts_with('{') && !segment.starts_with("{impl#")
}

/// The segments of a path, without what they are generic over.
fn split<'a>(name: &'a str, into: &mut Vec<&'a str>) {
    let mut rest = name;
    if let Some(inner) = name.strip_prefix('<') {
        let Some(end) = closing(inner) else { return };
        let of = inner[..end].split(" as ").next().unwrap_or_default();
        split(of.trim_start_matches(['&', '*']), into);
        rest = inner[end + 1..].trim_start_matches("::");
    }
    if rest.starts_with(['(', '[', '&', '*']) || rest.starts_with("dyn ") {
        into.push(rest.get(..1).unwrap_or(rest));
        return;
    }
    while !rest.is_empty() {
        let end = rest.find(['<', ':']).unwrap_or(rest.len());
        into.push(&rest[..end]);
        rest = &rest[end..];
        if let Some(inner) = rest.strip_prefix('<') {
            let Some(end) = closing(inner) else { return };
            rest = &inner[end + 1..];
        }
        rest = rest.trim_start_matches(':');
        if let Some(inner) = rest.strip_prefix('<') {
            // `f::<T>::{{closure}}`
            let Some(end) = closing(inner) else { return };
            rest = inner[end + 1..].trim_start_matches(':');
        }
    }
}

/// Where the bracket ends that stood before this.
fn closing(inner: &str) -> Option<usize> {
    let mut depth = 1_u32;
    let mut before = '<';
    for (at, c) in inner.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        before = c;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// A name in which closures have no number, and what std fills in by itself is left out.
pub(super) fn normalized(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find('}').map_or(rest.len(), |end| end + 1);
        if rest.starts_with("{impl#") {
            text.push_str(&rest[..end]);
            rest = &rest[end..];
        } else {
            text.push_str("{{closure}}");
            rest = rest[end..].trim_start_matches('}');
        }
    }
    text.push_str(rest);
    for filled in [", alloc::alloc::Global", ", std::hash::random::RandomState"] {
        text = text.replace(filled, "");
    }
    text
}

/// A name without paths, and without what stands more than two brackets deep: `Mutex<Vec<..>>`.
pub(super) fn shortened(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut depth = 0_u32;
    for c in crate::event::short_type(&normalized(name)).chars() {
        depth -= u32::from(c == '>' && depth > 0);
        if depth < 2 {
            text.push(c);
        }
        if c == '<' {
            depth += 1;
            if depth == 2 {
                text.push_str("..");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{FOREIGN, crates, key, normalized, shortened};

    #[test]
    fn crates_are_named_by_paths() {
        let name =
            "core::cell::RefCell<(app::A, &dyn lib_b::B<u8>, std::x::Y, app::f::{{closure}})>";
        assert_eq!(crates(name).collect::<Vec<_>>(), ["core", "app", "lib_b", "std", "app"]);
        assert_eq!(crates("u8").count(), 0);
    }

    #[test]
    fn long_names_are_shortened() {
        for (name, text) in [
            (
                "std::sync::poison::mutex::Mutex<alloc::vec::Vec<alloc::sync::Arc<u8>>>",
                "Mutex<Vec<..>>",
            ),
            ("app::Registry", "Registry"),
            ("core::cell::RefCell<u8>", "RefCell<u8>"),
            ("a::B<c::D<e::F>, g::H>", "B<D<..>, H>"),
        ] {
            assert_eq!(shortened(name), text);
        }
    }

    #[test]
    fn both_spellings_have_one_key() {
        for (of_std, of_dwarf) in [
            ("app::bus::Node<alloc::string::String>", "app::bus::Node<alloc::string::String>"),
            ("app::main::{{closure}}", "app::main::{closure_env#0}"),
            (
                "<app::Foo<T> as app::Tr>::run::{{closure}}",
                "app::{impl#3}::run::{async_block_env#1}",
            ),
            (
                "app::Foo<u8>::run::{{closure}}::{{closure}}",
                "app::{impl#0}::run::{closure#0}::{closure_env#1}<u8>",
            ),
            ("app::f<app::A>::{{closure}}", "app::f::{async_fn_env#0}<app::A>"),
            ("(app::A, app::B<u8>)", "(app::A, app::B<u8>)"),
            ("[app::A; 3]", "[app::A; 3]"),
        ] {
            assert_eq!(key(of_std), key(of_dwarf), "{of_std} {of_dwarf}");
        }
        assert_ne!(key("app::A"), key("app::B"));
        assert_ne!(key("app::main::{{closure}}"), key("app::main::{{closure}}::{{closure}}"));
        assert_ne!(key("app::A"), key("lib::A"));
    }

    #[test]
    fn what_std_fills_in_is_left_out() {
        for (name, text) in [
            ("alloc::vec::Vec<u8, alloc::alloc::Global>", "alloc::vec::Vec<u8>"),
            (
                "core::cell::RefCell<app::main::{closure_env#12}>",
                "core::cell::RefCell<app::main::{{closure}}>",
            ),
            (
                "core::cell::RefCell<app::main::{{closure}}>",
                "core::cell::RefCell<app::main::{{closure}}>",
            ),
            ("app::{impl#0}::X", "app::{impl#0}::X"),
            ("a::{", "a::{{closure}}"),
        ] {
            assert_eq!(normalized(name), text);
        }
    }

    #[test]
    fn no_name_is_too_strange() {
        for name in
            ["", "<", "<<", "a<", "::", "a::<", "<a as b", "{", "}", "dyn ", "é<é", "(", "a<b->c>"]
        {
            let _ = (key(name), normalized(name));
        }
        assert!(FOREIGN.is_sorted());
    }
}
