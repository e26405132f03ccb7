//! Colours, and the characters that lines are drawn with.

/// What a piece of text is, which says how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    /// What an object or handle is.
    Name,
    /// Alive, and so the thing to look at.
    Alive,
    /// Context.
    Dim,
    Strong,
    Weak,
    Warning,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Name => "\x1b[1m",
            Self::Alive => "\x1b[1;33m",
            Self::Dim => "\x1b[2m",
            Self::Strong => "\x1b[36m",
            Self::Weak => "\x1b[35m",
            Self::Warning => "\x1b[1;31m",
        }
    }
}

/// A line that is being put together, and how wide it is so far.
pub(super) struct Line {
    text: String,
    width: usize,
    color: bool,
}

impl Line {
    pub(super) fn new(color: bool) -> Self {
        Self { text: String::new(), width: 0, color }
    }

    /// Appends text, which may come from outside: what is not to be shown is escaped.
    pub(super) fn put(&mut self, look: Look, text: &str) -> &mut Self {
        let text = &*super::escape(text);
        self.width += crate::text::width(text);
        if self.color && look != Look::Plain && !text.trim().is_empty() {
            self.text.push_str(look.code());
            self.text.push_str(text);
            self.text.push_str("\x1b[0m");
        } else {
            self.text.push_str(text);
        }
        self
    }

    /// Blanks up to a column.
    pub(super) fn to(&mut self, column: usize) -> &mut Self {
        let blanks = column.saturating_sub(self.width);
        self.put(Look::Plain, &" ".repeat(blanks))
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The text, without blanks at its end.
    pub(super) fn finish(self) -> String {
        let end = self.text.trim_end().len();
        let mut text = self.text;
        text.truncate(end);
        text
    }
}

/// What to draw with.
#[derive(Debug)]
pub(super) struct Glyphs {
    /// Heights 1 to 8.
    pub(super) bars: [char; 8],
    pub(super) strong: Pen,
    pub(super) weak: Pen,
    pub(super) alive: &'static str,
    pub(super) raw: &'static str,
    pub(super) folded: char,
    pub(super) bar: char,
    pub(super) dot: &'static str,
    pub(super) ellipsis: &'static str,
    pub(super) times: &'static str,
}

/// The characters of a lifeline.
#[derive(Debug)]
pub(super) struct Pen {
    pub(super) begin: char,
    pub(super) body: char,
    pub(super) end: char,
    /// Begun and ended within one column.
    pub(super) both: char,
    pub(super) alive: char,
}

pub(super) const UNICODE: Glyphs = Glyphs {
    bars: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    strong: Pen { begin: '├', body: '─', end: '┤', both: '┼', alive: '▶' },
    weak: Pen { begin: '┊', body: '┄', end: '┊', both: '┊', alive: '▷' },
    alive: "●",
    raw: "◌",
    folded: '░',
    bar: '│',
    dot: " · ",
    ellipsis: "…",
    times: "×",
};

pub(super) const ASCII: Glyphs = Glyphs {
    bars: ['1', '2', '3', '4', '5', '6', '7', '8'],
    strong: Pen { begin: '|', body: '-', end: '|', both: '+', alive: '>' },
    weak: Pen { begin: ':', body: '.', end: ':', both: ':', alive: '>' },
    alive: "*",
    raw: "o",
    folded: '#',
    bar: '|',
    dot: ", ",
    ellipsis: "~",
    times: "x",
};
