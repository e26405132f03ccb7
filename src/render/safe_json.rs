//! JSON that does nothing where it is shown: what would act on a terminal, reorder text or end a page's script is escaped.

use crate::text::is_unsafe;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};
use std::io::{self, Write};

/// Writes a value on one line, without the line's end.
pub(super) fn write<W: Write>(out: W, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(out, Safe(CompactFormatter));
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// Returns a value as JSON, on one line.
pub(super) fn text(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    write(&mut text, value).expect("its keys are texts, and memory takes what is written");
    String::from_utf8(text).expect("it is made of texts")
}

struct Safe(CompactFormatter);

impl Formatter for Safe {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut rest = fragment;
        // Outside of strings JSON has no `<`, by which a page's script could end.
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| *c == '<' || is_unsafe(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            // Of a character outside of the basic plane, two.
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_acts_is_escaped_and_reads_back() {
        let hostile = "a\u{1b}[2J </script> \u{202e}\u{e0041} \"q\" \\ ü";
        let json = text(&hostile);
        assert!(json.chars().all(|c| c != '<' && !super::is_unsafe(c)), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).expect("it is JSON"), hostile);
    }
}
