//! `src/rc.rs` and `src/sync.rs` are the same file but for the names, and for what std has for `Arc` alone.
//!
//! They are written out twice, as std's are, so that documentation and errors name the right type. This test finds a
//! paragraph that was changed in one and not in the other.
#![cfg(feature = "trace")]

/// Paragraphs of `sync.rs` alone, by how they begin.
const ARC_ALONE: &[&str] = &[
    "impl<T> Arc<T> { As `from_raw`, for a waker",
    "impl<T: Error + ?Sized> Error for Arc<T> {",
    "impl io::Read for Arc<File> {",
    "impl io::Write for Arc<File> {",
    "impl io::Seek for Arc<File> {",
];

/// What each calls the same thing, `rc.rs`'s name last. An `Arc` downcasts from another trait object.
const NAMES: &[(&str, &str)] = &[
    ("Reference counting across threads", "Single-threaded reference counting"),
    ("thread-safe", "single-threaded"),
    ("std::sync", "std::rc"),
    ("refscope::sync", "refscope::rc"),
    ("use std::error::Error; ", ""),
    ("use std::fs::File; ", ""),
    ("use std::io; ", ""),
    ("sync::", "rc::"),
    ("arc_make_mut", "rc_make_mut"),
    ("Type::arc", "Type::rc"),
    ("Strong<true>", "Strong<false>"),
    ("Strong::<true>", "Strong::<false>"),
    ("Weak<true>", "Weak<false>"),
    ("dyn Any + Send + Sync", "dyn Any"),
    ("T: Any + Send + Sync", "T: Any"),
    ("an `Arc`", "an `Rc`"),
    ("An `Arc", "An `Rc"),
    ("Arc", "Rc"),
];

/// The items and comments between empty lines, in one line each, so that how they are broken does not matter.
fn paragraphs(source: &str) -> Vec<String> {
    let (mut paragraphs, mut depth) = (vec![String::new()], 0_usize);
    // std's `Arc` says of more that it must be used than its `Rc`: `refscope-compile` compares each with ours.
    for line in source.lines().filter(|line| !line.trim_start().starts_with("#[must_use")) {
        let line = line.trim();
        // An item is one paragraph, with the empty lines inside of it.
        if line.is_empty() && depth == 0 {
            paragraphs.push(String::new());
            continue;
        }
        let code = line.split("//").next().unwrap();
        depth += code.matches(['{', '(']).count();
        depth -= code.matches(['}', ')']).count();
        let text = line
            .trim_start_matches("///")
            .trim_start_matches("//!")
            .trim_start_matches("//")
            .trim();
        let paragraph = paragraphs.last_mut().unwrap();
        if !paragraph.is_empty() && !text.is_empty() {
            paragraph.push(' ');
        }
        paragraph.push_str(text);
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// Without what rustfmt adds when it breaks a line.
fn unbroken(paragraph: &str) -> String {
    paragraph.replace(' ', "").replace(",}", "}").replace(",)", ")").replace(",>", ">")
}

#[test]
fn rc_and_sync_are_alike() {
    let rc = paragraphs(include_str!("../src/rc.rs"));
    let sync = paragraphs(include_str!("../src/sync.rs"));
    assert!(rc.len() > 30, "the file is read: {}", rc.len());
    for alone in ARC_ALONE {
        assert!(
            sync.iter().any(|paragraph| paragraph.starts_with(alone)),
            "nothing begins with {alone}"
        );
    }
    let sync: Vec<_> = (sync.into_iter())
        .filter(|paragraph| !ARC_ALONE.iter().any(|alone| paragraph.starts_with(alone)))
        .map(|paragraph| NAMES.iter().fold(paragraph, |text, (from, to)| text.replace(from, to)))
        .collect();
    for (rc, sync) in rc.iter().zip(&sync) {
        let (rc, sync) = (unbroken(rc), unbroken(sync));
        let same = rc.chars().zip(sync.chars()).take_while(|(rc, sync)| rc == sync).count();
        let rest =
            |text: &str| text.chars().skip(same.saturating_sub(20)).take(80).collect::<String>();
        assert!(rc == sync, "\nrc.rs:   {}\nsync.rs: {}\n", rest(&rc), rest(&sync));
    }
    assert_eq!(rc.len(), sync.len());
}
