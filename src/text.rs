//! Text for people: quantities, and names that came from outside.

use std::borrow::Cow;
use std::time::Duration;

/// A duration in the unit that fits it: `1.2 s`, `340 ms`, `3 h 10 min`.
pub(crate) fn age(age: Duration) -> String {
    let nanos = age.as_nanos();
    let seconds = age.as_secs();
    match nanos {
        // Coarse clocks move every few milliseconds.
        0 => "< 5 ms".to_owned(),
        1..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ if seconds < 60 => format!("{:.1} s", age.as_secs_f64()),
        _ if seconds < 3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A size in the unit that fits it: `96 B`, `1.5 KiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A number with its thousands apart: `1,204`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `main's`, `workers'`.
pub(crate) fn possessive(name: &str) -> String {
    format!("{name}{}", if name.ends_with('s') { "'" } else { "'s" })
}

/// `1 event`, `2 events`.
pub(crate) fn plural(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Returns a name from outside so that printing it does nothing but show it: control characters, line ends, and what
/// reorders or hides text, are escaped.
///
/// Names of types, files, threads, labels and spans come from the traced program, which may have them from
/// its users, and by way of a file from anyone.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => escaped.push(' '),
            c if is_unsafe(c) => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Returns whether printing it does more than show it.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator; zero widths and directions; separators,
            // embeddings and overrides; invisible operators and isolates; the byte order mark; interlinear marks;
            // tags.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// How many columns a terminal gives a text.
pub(crate) fn width(text: &str) -> usize {
    #[cfg(any(feature = "trace", feature = "json"))]
    return unicode_width::UnicodeWidthStr::width(text);
    // There is nothing to print then.
    #[cfg(not(any(feature = "trace", feature = "json")))]
    return text.chars().count();
}

/// How many columns a terminal gives a character: none to a mark that combines with the one before, two to the wide ones
/// of East Asia and to emoji, one to the rest.
pub(crate) fn column_width(c: char) -> usize {
    #[cfg(any(feature = "trace", feature = "json"))]
    return unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
    #[cfg(not(any(feature = "trace", feature = "json")))]
    return usize::from(!c.is_control());
}

/// A source file's path without what is the same for a whole registry, checkout or toolchain: `tokio-1.44.0/src/lib.rs`,
/// `library/alloc/src/rc.rs`.
pub(crate) fn short_file(file: &str) -> &str {
    let after = |text: &str, parts: usize| -> Option<usize> {
        let at = file.find(text)? + text.len();
        let rest = &file[at..];
        let mut ends = rest.match_indices(['/', '\\']).map(|(at, _)| at + 1);
        Some(at + if parts == 0 { 0 } else { ends.nth(parts - 1)? })
    };
    let cuts = [
        // registry/src/INDEX/CRATE-VERSION/…
        ("/registry/src/", 1),
        ("\\registry\\src\\", 1),
        // git/checkouts/NAME-HASH/REVISION/…, whose name is to be seen
        ("/git/checkouts/", 0),
        ("\\git\\checkouts\\", 0),
        ("/lib/rustlib/src/rust/", 0),
        ("\\lib\\rustlib\\src\\rust\\", 0),
    ];
    if let Some(rest) = file.strip_prefix("/rustc/") {
        return rest.split_once('/').map_or(file, |(_, rest)| rest);
    }
    cuts.iter().find_map(|(text, parts)| after(text, *parts)).map_or(file, |at| &file[at..])
}

/// FNV-1a with 64 bits (Fowler, Noll and Vo): the same on every machine and in every version.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// [`escape`], but for line ends.
pub(crate) fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_do_nothing() {
        assert_eq!(escape("app::Größe<T>"), "app::Größe<T>");
        assert_eq!(escape("a\u{1b}]52;c;eA==\u{7}b\r\n\tc"), "a\\u{1b}]52;c;eA==\\u{7}b\\r\\n c");
        assert_eq!(escape("x\u{202e}y\u{9b}2J"), "x\\u{202e}y\\u{9b}2J");
    }

    #[cfg(any(feature = "trace", feature = "json"))]
    #[test]
    fn columns() {
        assert_eq!(width("größe"), 5);
        assert_eq!(width("名前"), 4);
        assert_eq!(width("한국어"), 6);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("🦀!"), 3);
        assert_eq!(width("👩\u{200d}🔬"), 2);
        assert_eq!(width("ｗｉｄｅ"), 8);
        assert_eq!(width("│─×…→"), 5);
    }

    #[test]
    fn paths_of_registries_and_toolchains() {
        for (file, want) in [
            ("src/main.rs", "src/main.rs"),
            ("/home/a/app/src/main.rs", "/home/a/app/src/main.rs"),
            (
                "/h/.cargo/registry/src/index.crates.io-6f17/tokio-1.44.0/src/lib.rs",
                "tokio-1.44.0/src/lib.rs",
            ),
            ("C:\\u\\.cargo\\registry\\src\\i-1\\a-1.0.0\\src\\b.rs", "a-1.0.0\\src\\b.rs"),
            ("/h/.cargo/git/checkouts/dep-1f/09ab/src/lib.rs", "dep-1f/09ab/src/lib.rs"),
            ("/rustc/0123abcd/library/alloc/src/rc.rs", "library/alloc/src/rc.rs"),
            (
                "/h/.rustup/toolchains/s/lib/rustlib/src/rust/library/core/src/a.rs",
                "library/core/src/a.rs",
            ),
        ] {
            assert_eq!(short_file(file), want);
        }
    }

    #[test]
    fn units() {
        assert_eq!(age(Duration::from_nanos(999)), "999 ns");
        assert_eq!(age(Duration::from_millis(1200)), "1.2 s");
        assert_eq!(age(Duration::from_secs(11_400)), "3 h 10 min");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(count(7), "7");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(plural(1, "event"), "1 event");
    }
}
