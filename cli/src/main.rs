//! The command `refscope`: reads recordings, and says who keeps what alive.
//!
//! `cargo install refscope-cli`, then `refscope leaks run.jsonl`.

mod arguments;
mod diff;
mod fix;
mod graph;
mod input;
mod leaks;
mod top;

use anstream::{AutoStream, ColorChoice};
use arguments::{AxisBy, Cli, Command, Format, GraphFormat};
use clap::{CommandFactory as _, Parser as _};
use input::{read, read_living};
use leaks::{Look, about};
use refscope::__private::escape;
use refscope::analysis::{LeakReport, Timeline, Timelines};
use refscope::render::{self, Terminal};
use refscope::{ObjectId, Op, Recording, stack};
use serde_json::json;
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Cli { command, source, color } = Cli::parse();
    color.0.write_global();
    match run(command, source.as_deref()) {
        Ok(code) => code,
        // Whoever reads the output may go away meanwhile, as `head` does.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("refscope: {}", escape(&chain(&*error)));
            ExitCode::from(2)
        }
    }
}

type Failed = Box<dyn Error>;

/// An error with what caused it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes =
        std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut errors =
        std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    errors.any(|error| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Standard output. Where nobody reads it any more, what is written goes nowhere, and the command goes on: its exit code
/// says something, too.
struct Output {
    to: io::StdoutLock<'static>,
    /// How many recordings there are, to be told apart by a heading.
    files: usize,
}

impl Output {
    fn text(&mut self, file: &Path, text: &str) -> io::Result<()> {
        if self.files > 1 {
            self.raw(&format!("== {}\n", escape(&file.display().to_string())))?;
        }
        self.raw(text)
    }

    fn json(&mut self, json: &impl std::fmt::Display) -> io::Result<()> {
        self.raw(&format!("{json}\n"))
    }

    fn raw(&mut self, text: &str) -> io::Result<()> {
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

fn run(command: Command, source: Option<&Path>) -> Result<ExitCode, Failed> {
    let color = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let terminal = || {
        let terminal = Terminal::stdout().color(color);
        if let Some(source) = source { terminal.source(source) } else { terminal }
    };
    let mut out = Output { to: io::stdout().lock(), files: 1 };
    match command {
        Command::Leaks { files, filter, allow, baseline, at, json, annotations } => {
            let look = Look { filter: &filter, allow: &allow, baseline: baseline.as_deref() };
            let mut passes = true;
            for file in several(files.files, &mut out) {
                let (report, recording, became) = match &at {
                    None => {
                        let (recording, living) = read_living(&file)?;
                        (look.report(&recording, living)?, recording, String::new())
                    }
                    Some(at) => leaks::at(&file, at, &look)?,
                };
                passes &= report.passes();
                if json.json {
                    out.json(&report.json())?;
                } else if annotations {
                    out.raw(&report.annotations())?;
                } else {
                    let report = terminal().sources_of(&recording).render_report(&report);
                    out.text(&file, &format!("{}{report}{became}", about(&recording)))?;
                }
            }
            return Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Timeline { files, filter, by, limit, json } => {
            for file in several(files.files, &mut out) {
                let recording = read(&file)?;
                let mut timelines = recording.timelines();
                filter.timelines(&recording, &mut timelines);
                if json.json {
                    out.json(&timelines_json(&recording, timelines.iter().take(limit)))?;
                    continue;
                }
                let terminal = match by {
                    AxisBy::Time => terminal(),
                    AxisBy::Events => terminal().by_events(),
                };
                let text = terminal.sources_of(&recording).limit(limit).to_string(&timelines);
                out.text(&file, &text)?;
            }
        }
        Command::Top { files, filter, by, limit, json } => {
            for file in several(files.files, &mut out) {
                let (recording, mut living) = read_living(&file)?;
                filter.living(&mut living);
                if json.json {
                    out.json(&top::json(&living, recording.end(), by, limit))?;
                } else {
                    out.text(&file, &top::table(&living, recording.end(), by, limit))?;
                }
            }
        }
        Command::Diff { a, b, filter, json } => {
            let rows = diff::rows(&a, &b, &filter)?;
            match json.json {
                true => out.json(&diff::json(&rows))?,
                false => out.raw(&diff::table(&rows))?,
            }
        }
        Command::Tree { files, object, json } => {
            for file in several(files.files, &mut out) {
                let recording = read(&file)?;
                let timelines = recording.timelines();
                let found = find(&timelines, object.object, &file)?;
                match json.json {
                    true => out.json(&timelines_json(&recording, [found]))?,
                    false => out.text(&file, &terminal().tree(&timelines, found))?,
                }
            }
        }
        Command::Balance { files, object, tree, json } => {
            let object = object.object;
            for file in several(files.files, &mut out) {
                let balance = read(&file)?.balance(object);
                let balance =
                    balance.ok_or_else(|| format!("{}: no event of {object}", file.display()))?;
                if json.json {
                    out.json(
                        &json!({ "refscope_balance": 1, "object": object, "balance": balance }),
                    )?;
                } else if tree {
                    let text: String =
                        balance.tree.iter().map(|node| format!("{node}\n")).collect();
                    out.text(&file, &text)?;
                } else {
                    out.text(&file, &format!("{balance}\n"))?;
                }
            }
        }
        Command::Flame { files, of } => {
            let of = match of.as_deref().map(|name| (name, Op::from_name(name))) {
                Some((name, None)) => return Err(unknown_operation(name).into()),
                other => other.and_then(|(_, op)| op),
            };
            // Of several recordings one graph: lines of one stack are summed by who reads them.
            for file in &files.files {
                out.raw(&flame(&read(file)?, of))?;
            }
        }
        Command::Graph { files, object, format } => {
            for file in several(files, &mut out) {
                let graph = graph::write(&file, object, format)?;
                match format {
                    GraphFormat::Text => out.text(&file, &graph)?,
                    _ => out.raw(&graph)?,
                }
            }
        }
        Command::Export { file, filter, format, output } => {
            let recording = read(&file)?;
            let mut timelines = recording.timelines();
            filter.timelines(&recording, &mut timelines);
            let mut to: Box<dyn Write> = match &output {
                Some(path) => {
                    let file = File::create(path);
                    let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
                    Box::new(io::BufWriter::new(file))
                }
                None => Box::new(out.to),
            };
            match format {
                Format::Html => {
                    to.write_all(render::html_with_sources(&timelines, source).as_bytes())?;
                }
                Format::Perfetto => render::perfetto(&timelines, &mut to)?,
                Format::Json => {
                    let mut living = recording.live_objects();
                    filter.living(&mut living);
                    writeln!(to, "{}", LeakReport::of_living(&recording, living, 0).json())?;
                }
                Format::Dot => {
                    let object =
                        filter.object.ok_or("a DOT graph is of one object: --object NUMBER")?;
                    let found = find(&timelines, object, &file)?;
                    to.write_all(render::dot(&timelines, found).as_bytes())?;
                }
            }
            to.flush()?;
        }
        Command::Fix(fix) => {
            if !fix.run(&mut out.to)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "refscope", &mut script);
            out.to.write_all(&script)?;
        }
        Command::Man { subcommand } => out.to.write_all(&man(subcommand.as_deref())?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn several(files: Vec<PathBuf>, out: &mut Output) -> Vec<PathBuf> {
    out.files = files.len();
    files
}

/// Objects' histories, with the tables that they refer to.
fn timelines_json<'t, 'r: 't>(
    recording: &Recording,
    timelines: impl IntoIterator<Item = &'t Timeline<'r>>,
) -> serde_json::Value {
    json!({
        "refscope_timelines": 1,
        "end": recording.end(),
        "lost": recording.lost(),
        "locations": recording.locations(),
        "threads": recording.threads(),
        "spans": recording.spans(),
        "timelines": timelines.into_iter().collect::<Vec<_>>(),
    })
}

/// The stacks of one operation's events, or of the handles that are alive.
fn flame(recording: &Recording, of: Option<Op>) -> String {
    let mut stacks = Vec::new();
    if of.is_some() {
        let events = recording.events().iter().filter(|event| Some(event.op) == of);
        stacks.extend(events.filter_map(|event| event.stack));
    } else {
        let objects = recording.live_objects();
        let handles = objects.iter().flat_map(|object| &object.handles);
        stacks.extend(handles.filter_map(|handle| handle.stack));
    }
    let stacks: Vec<_> = stacks.into_iter().map(|stack| stack.resolve()).collect();
    stack::flame_graph(stacks.iter().map(|stack| (&**stack, 1)))
}

fn unknown_operation(name: &str) -> String {
    let names: Vec<_> = Op::ALL.iter().map(|op| op.name()).collect();
    format!("`{name}` is no operation; there are: {}", names.join(", "))
}

/// The page of the command, or of a subcommand.
fn man(subcommand: Option<&str>) -> Result<Vec<u8>, Failed> {
    let mut command = Cli::command();
    command.build();
    let command = match subcommand {
        None => command,
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            found.ok_or_else(|| format!("there is no subcommand `{name}`"))?
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

fn find<'t, 'r>(
    timelines: &'t Timelines<'r>,
    object: ObjectId,
    file: &Path,
) -> Result<&'t Timeline<'r>, Failed> {
    timelines
        .iter()
        .find(|timeline| timeline.object.id == object)
        .ok_or_else(|| format!("{}: there is no object {object}", file.display()).into())
}
