//! What the command is given: its subcommands and their options.

use crate::apart::Apart;
use crate::fix::Fix;
use crate::top::By;
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use refscope::analysis::{Timeline, Timelines};
use refscope::model::{Allocation, LiveObject, Peak};
use refscope::{ObjectId, Recording};
use std::path::PathBuf;

/// Reads recordings of refscope, and says who keeps what alive.
///
/// A recording is what `REFSCOPE=record=run.refscope`, a `FlightRecorder` or a `FileSink` wrote. Where a FILE is asked for, `-` is the
/// standard input. Several files are looked at one after the other.
#[derive(Parser)]
#[command(name = "refscope", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Where the recorded program was built: source lines are read from `.rs` files below it [default: the working
    /// directory]
    #[arg(help_heading = "Everywhere", long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) source: Option<PathBuf>,
    /// Whether to use colour. `auto` does on a terminal, unless the environment says otherwise by NO_COLOR,
    /// CLICOLOR=0, CLICOLOR_FORCE=1 or TERM=dumb
    #[arg(
        help_heading = "Everywhere",
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub(crate) color: Color,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What was alive at the end, by the line that keeps it. Exit code 1 if there is any that is not allowed, or if
    /// nothing was traced
    Leaks {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        filter: Filter,
        /// Allows objects whose type's full name or creation line contains this (repeat for several)
        #[arg(long, value_name = "WHAT")]
        allow: Vec<String>,
        /// Allows what this file lists: fingerprints, as the report shows them, first on a line each; `#` begins a
        /// comment. A report of this command, as text or JSON, is such a list as well; one of the program's own, which
        /// has searched its memory, may list fewer
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        baseline: Option<PathBuf>,
        /// What was alive at a mark, or so long after the start (`12.5s`, `300ms`), and what became of it
        #[arg(long, value_name = "MARK|TIME")]
        at: Option<String>,
        /// In place of the reports, of each line that keeps something alive how much that is in each process, on each machine or
        /// in each build, of all recordings together
        #[arg(long, value_name = "WHAT", conflicts_with = "annotations")]
        by: Option<Apart>,
        #[command(flatten)]
        json: Json,
        /// Prints annotations for the log of GitHub Actions
        #[arg(long, conflicts_with = "json")]
        annotations: bool,
    },
    /// The objects' histories: counts over time, and a lifeline for every handle
    Timeline {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        filter: Filter,
        /// What the axis shows
        #[arg(long, default_value = "time", value_name = "AXIS")]
        by: AxisBy,
        /// How many objects are shown at most
        #[arg(long, short = 'n', default_value_t = 8, value_name = "COUNT")]
        limit: usize,
        #[command(flatten)]
        events: Events,
        #[command(flatten)]
        json: Json,
    },
    /// What was alive at the end, by type and creation line, or by the stack that allocated it
    Top {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        filter: Filter,
        /// What to sort by. Bytes are the values' own, without what they have on the heap
        #[arg(long, default_value = "count", value_name = "KEY")]
        by: By,
        /// How many rows are shown at most
        #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
        limit: usize,
        #[command(flatten)]
        json: Json,
    },
    /// What is alive at the end of B and was not at the end of A, by type and creation line
    Diff {
        /// The earlier recording, or a folder of them, of which the sums are taken, or `-` for the standard input
        #[arg(value_name = "A", value_hint = clap::ValueHint::FilePath)]
        a: PathBuf,
        /// The later recording, or a folder
        #[arg(value_name = "B", value_hint = clap::ValueHint::FilePath)]
        b: PathBuf,
        #[command(flatten)]
        filter: Filter,
        /// Compares each machine's or build's by itself; processes, where A and B are of the same ones
        #[arg(long, value_name = "WHAT")]
        by: Option<Apart>,
        #[command(flatten)]
        json: Json,
    },
    /// Who cloned whom, of one object, as a tree
    Tree {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        object: One,
        #[command(flatten)]
        events: Events,
        #[command(flatten)]
        json: Json,
    },
    /// Which lines raised one object's count, which lowered it again, and what each still has
    Balance {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        object: One,
        /// As a tree of calls, where the recording has stacks
        #[arg(long)]
        tree: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Stacks as inferno and flamegraph.pl read them: of what is alive, or of what happened
    Flame {
        #[command(flatten)]
        files: Files,
        /// Takes the stacks of these operations: `new`, `clone`, `drop` … [default: those of the handles that are alive]
        #[arg(long, value_name = "OPERATION")]
        of: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Who holds what: the ownership graph that a program wrote by `Ownership::to_json`
    Graph {
        /// The graphs, or `-` for the standard input
        #[arg(value_name = "FILE", required = true, value_hint = clap::ValueHint::FilePath)]
        files: Vec<PathBuf>,
        /// Shows the path to this object, and where its handles are
        #[arg(long, value_name = "NUMBER")]
        object: Option<ObjectId>,
        /// What to write
        #[arg(long, short, default_value = "text", value_name = "FORMAT")]
        format: GraphFormat,
    },
    /// Writes the recording in another format
    Export {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        filter: Filter,
        /// What to write
        #[arg(long, short, value_name = "FORMAT")]
        format: Format,
        /// Output file; of several recordings a folder, with a file for each; of Parquet always a folder [default: stdout]
        #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
        output: Option<PathBuf>,
    },
    /// Packs recordings: a tenth of the room, and an object is found without reading the rest
    ///
    /// A packed recording is read as any other. What was run.refscope is run.packed.refscope then, and stays.
    Pack {
        #[command(flatten)]
        files: Files,
        /// Output file; of several recordings a folder [default: beside each]
        #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
        output: Option<PathBuf>,
    },
    /// Swaps a package's imports of std's pointers, edits what does not compile then, and shows the diff
    Fix(Fix),
    /// Prints the completions for a shell
    ///
    /// For bash: `refscope completions bash > ~/.local/share/bash-completion/completions/refscope`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page of the command, or of a subcommand: `refscope man leaks | man -l -`
    Man {
        /// The subcommand [default: the page of `refscope` itself]
        subcommand: Option<String>,
    },
}

/// Which recordings.
#[derive(Args)]
pub(crate) struct Files {
    /// The recordings, or folders of them, or `-` for the standard input
    #[arg(value_name = "FILE", required = true, value_hint = clap::ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

/// Which object, where one is asked for.
#[derive(Args)]
pub(crate) struct One {
    /// The object's number, as reports show it: 7 or #7
    #[arg(long, value_name = "NUMBER")]
    pub(crate) object: ObjectId,
}

/// How much of an object's history.
#[derive(Args)]
pub(crate) struct Events {
    /// How many events of an object are shown at most: the first and the last ones, and those of what is alive
    #[arg(long, default_value_t = MOST_EVENTS, value_name = "COUNT")]
    pub(crate) events: usize,
}

/// Events of an object that are shown, unless it is asked for others.
pub(crate) const MOST_EVENTS: usize = 20_000;

#[derive(Args)]
pub(crate) struct Json {
    /// Prints JSON, a line for each recording
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Color(pub(crate) anstream::ColorChoice);

impl ValueEnum for Color {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self(anstream::ColorChoice::Auto),
                Self(anstream::ColorChoice::Always),
                Self(anstream::ColorChoice::Never),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self.0 {
            anstream::ColorChoice::Auto => "auto",
            anstream::ColorChoice::Never => "never",
            _ => "always",
        }))
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum AxisBy {
    /// Time, as far as the recorder's clock could tell moments apart
    Time,
    /// Each event is as wide as the others
    Events,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// A page to be looked at in a browser
    Html,
    /// A trace for Perfetto (ui.perfetto.dev), in its own format
    Perfetto,
    /// The recording as JSON Lines, as `record=run.jsonl` writes it: each event, for `jq` and other programs
    Jsonl,
    /// Tables of objects, handles, events and findings for DuckDB, DataFusion and Spark, by process, in the folder that -o
    /// names; where the command was built with the feature `parquet`
    Parquet,
    /// The leak report's JSON
    Json,
    /// The clone tree of one object (--object), for Graphviz
    Dot,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Cycles, and what holds how many objects; of one object its path
    Text,
    /// For Graphviz
    Dot,
    /// The path to one object (--object), as a picture
    Svg,
    /// The graph, or its part for one object
    Json,
}

/// Which objects.
#[derive(Args, Default)]
pub(crate) struct Filter {
    /// Those whose type's full name contains this
    #[arg(help_heading = "Which objects", long = "type", value_name = "NAME")]
    type_name: Option<String>,
    /// Those allocated on a line whose path (src/main.rs:7) contains this
    #[arg(help_heading = "Which objects", long, value_name = "PLACE")]
    site: Option<String>,
    /// The one with this number
    #[arg(help_heading = "Which objects", long, value_name = "NUMBER")]
    pub(crate) object: Option<ObjectId>,
    /// Those allocated on a thread whose name contains this
    #[arg(help_heading = "Which objects", long, value_name = "NAME")]
    thread: Option<String>,
    /// Those allocated so many seconds after the start, or later
    #[arg(help_heading = "Which objects", long, value_name = "SECONDS")]
    from: Option<f64>,
    /// Those allocated so many seconds after the start, or earlier
    #[arg(help_heading = "Which objects", long, value_name = "SECONDS")]
    to: Option<f64>,
    /// Those alive at the end
    #[arg(help_heading = "Which objects", long)]
    pub(crate) alive: bool,
}

impl Filter {
    /// Whether an object is one that is asked for, but for whether it is alive.
    pub(crate) fn accepts(&self, allocation: &Allocation<'_>) -> bool {
        // A line is put together where it is asked for alone.
        let line = self.site.as_ref().map_or_else(String::new, |_| allocation.location.to_string());
        let (object, nanos) = (allocation.object, allocation.time.as_nanos());
        self.accepts_parts(&object.type_name, &line, object.id, allocation.thread, nanos)
    }

    /// Whether objects of a type and line are asked for. Of others' conditions a peak knows nothing.
    pub(crate) fn accepts_peak(&self, peak: &Peak) -> bool {
        let is_known = self.object.is_none()
            && self.thread.is_none()
            && self.from.is_none()
            && self.to.is_none()
            && !self.alive;
        let part = |part: &Option<String>, text: &str| {
            part.as_ref().is_none_or(|part| text.contains(part.as_str()))
        };
        is_known
            && part(&self.type_name, &peak.type_name)
            && part(&self.site, &peak.location.to_string())
    }

    /// In words, for a message.
    pub(crate) fn words(&self) -> String {
        let mut words = Vec::new();
        let parts = [("type", &self.type_name), ("site", &self.site), ("thread", &self.thread)];
        for (name, part) in parts {
            words.extend(part.as_ref().map(|part| format!("--{name} {part}")));
        }
        words.extend(self.object.map(|object| format!("--object {}", object.number())));
        for (name, part) in [("from", self.from), ("to", self.to)] {
            words.extend(part.map(|part| format!("--{name} {part}")));
        }
        if self.alive {
            words.push("--alive".to_owned());
        }
        words.join(" ")
    }

    fn accepts_parts(
        &self,
        type_name: &str,
        location: &str,
        id: ObjectId,
        thread: &str,
        nanos: u64,
    ) -> bool {
        let part = |part: &Option<String>, text: &str| {
            part.as_ref().is_none_or(|part| text.contains(part.as_str()))
        };
        let seconds = nanos as f64 / 1e9;
        part(&self.type_name, type_name)
            && part(&self.site, location)
            && part(&self.thread, thread)
            && self.object.is_none_or(|object| object == id)
            && self.from.is_none_or(|from| seconds >= from)
            && self.to.is_none_or(|to| seconds <= to)
    }

    pub(crate) fn living(&self, living: &mut Vec<LiveObject>) {
        living.retain(|o| {
            let (location, nanos) = (o.location.to_string(), o.created.as_nanos());
            self.accepts_parts(&o.type_name, &location, o.id, &o.thread, nanos)
        });
    }

    pub(crate) fn timelines(&self, recording: &Recording, timelines: &mut Timelines<'_>) {
        timelines.retain(|t: &Timeline<'_>| {
            let location = recording.locations()[t.object.location as usize].to_string();
            let first = t.events.first();
            let thread = first.map_or("", |event| &*recording.threads()[event.thread as usize]);
            let nanos = first.map_or(0, |event| event.time.as_nanos());
            (!self.alive || t.is_alive())
                && self.accepts_parts(&t.object.type_name, &location, t.object.id, thread, nanos)
        });
    }
}
