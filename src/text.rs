//! Text for people: quantities, and names that came from outside.

use std::borrow::Cow;
use std::time::Duration;

/// A duration in the unit that fits it: `1.2 s`, `340 ms`, `3 h 10 min`.
pub(crate) fn age(age: Duration) -> String {
    let nanos = age.as_nanos();
    let seconds = age.as_secs();
    match nanos {
        0..1_000 => format!("{nanos} ns"),
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

/// `1 event`, `2 events`.
pub(crate) fn plural(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A name from outside, so that printing it does nothing but show it: control characters, line ends, and what
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

/// Whether a character does something else than be shown.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_do_nothing() {
        assert_eq!(escape("app::Größe<T>"), "app::Größe<T>");
        assert_eq!(escape("a\u{1b}]52;c;eA==\u{7}b\r\n\tc"), "a\\u{1b}]52;c;eA==\\u{7}b\\r\\n c");
        assert_eq!(escape("x\u{202e}y\u{9b}2J"), "x\\u{202e}y\\u{9b}2J");
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
