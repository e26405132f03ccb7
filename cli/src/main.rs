//! The command `refscope`: reads recordings, and says who keeps what alive.
//!
//! `cargo install refscope-cli`, then `refscope leaks run.refscope`.

mod apart;
mod arguments;
mod diff;
mod export;
mod fix;
mod graph;
mod input;
mod leaks;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod top;

use anstream::{AutoStream, ColorChoice};
use apart::Spread;
use arguments::{AxisBy, Cli, Command, Filter, Format, GraphFormat};
use clap::{CommandFactory as _, Parser as _};
use export::Export;
use input::{Input, several};
use leaks::{Look, about};
use output::{Output, WholeFile, end_on_signals};
use refscope::__private::escape;
use refscope::analysis::{Timeline, Timelines};
use refscope::model::Survey;
use refscope::render::Terminal;
use refscope::stack::{self, StackId};
use refscope::{ObjectId, Op, Recording};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use top::Fleet;

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

fn run(command: Command, source: Option<&Path>) -> Result<ExitCode, Failed> {
    let color = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let terminal = || {
        let terminal = Terminal::stdout().color(color);
        if let Some(source) = source { terminal.source(source) } else { terminal }
    };
    let mut out = Output { to: io::stdout().lock(), files: 1 };
    let inputs = |files: &[PathBuf], out: &mut Output| -> Result<Vec<Input>, Failed> {
        end_on_signals();
        let inputs = several(files)?;
        out.files = inputs.len();
        Ok(inputs)
    };
    match command {
        Command::Leaks { files, filter, allow, baseline, at, by, json, annotations } => {
            let look = Look { filter: &filter, allow: &allow, baseline: baseline.as_deref() };
            let mut passes = true;
            let mut spread = by.map(Spread::new);
            for input in inputs(&files.files, &mut out)? {
                let (report, recording, became) = match &at {
                    None => {
                        // Text alone has a place for what was there shortly before.
                        let is_text = spread.is_none() && !json.json && !annotations;
                        let (recording, living, peaks) = match is_text {
                            true => input.live_and_peaks()?,
                            false => {
                                let (recording, living) = input.live()?;
                                (recording, living, Vec::new())
                            }
                        };
                        let peaks = leaks::peaks(&input, &recording, peaks, &look)?;
                        (look.report(&recording, living)?, recording, peaks)
                    }
                    Some(at) => leaks::at(&input, at, &look)?,
                };
                passes &= report.passes();
                // Tables and annotations have no place for it.
                if spread.is_some() || annotations {
                    input.tell_lost(&recording);
                }
                if let Some(spread) = &mut spread {
                    spread.add(&recording, input.path(), &report);
                } else if json.json {
                    out.json(&report.json())?;
                } else if annotations {
                    out.raw(&report.annotations())?;
                } else {
                    let report = terminal().sources_of(&recording).render_report(&report);
                    out.text(input.path(), &format!("{}{report}{became}", about(&recording)))?;
                }
            }
            match spread {
                Some(spread) if json.json => out.json(&spread.json())?,
                Some(spread) => out.raw(&spread.table())?,
                None => {}
            }
            return Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Timeline { files, filter, by, limit, events, json } => {
            for input in inputs(&files.files, &mut out)? {
                let (survey, recording) = shown(&input, &filter, limit, events.events)?;
                let timelines = recording.timelines();
                if json.json {
                    out.json(&timelines_json(&recording, &timelines))?;
                    continue;
                }
                let terminal = match by {
                    AxisBy::Time => terminal(),
                    AxisBy::Events => terminal().by_events(),
                };
                let terminal = terminal.sources_of(&recording).limit(limit).sums_of(&survey);
                let mut text = terminal.render_timelines(&timelines);
                if survey.objects == 0 {
                    text.push_str(&none_matches(&input, &filter)?);
                }
                out.text(input.path(), &text)?;
            }
        }
        Command::Top { files, filter, by, limit, json } => {
            let mut fleet = by.apart().map(Fleet::new);
            for input in inputs(&files.files, &mut out)? {
                let (recording, mut living) = input.live()?;
                input.tell_lost(&recording);
                filter.living(&mut living);
                if let Some(fleet) = &mut fleet {
                    fleet.add(&recording, input.path(), &living);
                } else if json.json {
                    out.json(&top::json(&living, recording.end_time(), by, limit))?;
                } else {
                    let mut text = top::table(&living, recording.end_time(), by, limit);
                    if living.is_empty() {
                        text.push_str("nothing that is asked for was alive at the end\n");
                    }
                    out.text(input.path(), &text)?;
                }
            }
            match fleet {
                Some(fleet) if json.json => out.json(&fleet.json(limit))?,
                Some(fleet) => out.raw(&fleet.table(limit))?,
                None => {}
            }
        }
        Command::Diff { a, b, filter, by, json } => {
            let (a, b) = (inputs(&[a], &mut out)?, inputs(&[b], &mut out)?);
            let rows = diff::rows(&a, &b, &filter, by)?;
            match json.json {
                true => out.json(&diff::json(&rows, by))?,
                false => out.raw(&diff::table(&rows, by))?,
            }
        }
        Command::Tree { files, object, events, json } => {
            for input in inputs(&files.files, &mut out)? {
                let recording = input.object(object.object, events.events)?;
                let timelines = recording.timelines();
                let found = find(&timelines, object.object, input.path())?;
                match json.json {
                    true => out.json(&timelines_json(&recording, [found]))?,
                    false => {
                        input.tell_lost(&recording);
                        out.text(input.path(), &terminal().tree(&timelines, found))?;
                    }
                }
            }
        }
        Command::Balance { files, object, tree, json } => {
            let object = object.object;
            for input in inputs(&files.files, &mut out)? {
                let balance = input.balance(object)?;
                let balance = balance
                    .ok_or_else(|| format!("{}: no event of {object}", input.path().display()))?;
                if json.json {
                    out.json(
                        &json!({ "refscope_balance": 1, "object": object, "balance": balance }),
                    )?;
                } else if tree {
                    let text: String =
                        balance.tree.iter().map(|node| format!("{node}\n")).collect();
                    out.text(input.path(), &text)?;
                } else {
                    out.text(input.path(), &format!("{balance}\n"))?;
                }
            }
        }
        Command::Flame { files, of, json } => {
            let of = match of.as_deref().map(|name| (name, Op::from_name(name))) {
                Some((name, None)) => return Err(unknown_operation(name).into()),
                other => other.and_then(|(_, op)| op),
            };
            // Of several recordings one graph: lines of one stack are summed by who reads them.
            for input in inputs(&files.files, &mut out)? {
                let graph = flame(&input, of)?;
                match json.json {
                    true => out.json(&flame_json(&graph))?,
                    false => out.raw(&graph)?,
                }
            }
        }
        Command::Pack { files, output } => {
            let mut inputs = inputs(&files.files, &mut out)?;
            // To another place it is a copy.
            if output.is_none() {
                inputs.retain(|input| {
                    let is_packed = input.file().is_packed().unwrap_or(false);
                    if is_packed {
                        input::note(input.path(), "it is packed already");
                    }
                    !is_packed
                });
            }
            for (input, to) in export::places(&inputs, output.as_deref(), "packed.refscope")? {
                let to = to.ok_or("what comes by the standard input has no name: -o FILE")?;
                out.raw(&export::pack(input, &to)?)?;
            }
        }
        Command::Export { files, filter, format, output } => {
            let inputs = inputs(&files.files, &mut out)?;
            if format == Format::Parquet {
                let folder = output.ok_or("tables are several files: -o FOLDER")?;
                if folder.exists() && !folder.is_dir() {
                    let text = "tables are several files, and this is no folder";
                    return Err(format!("{}: {text}", folder.display()).into());
                }
                export::tables(&inputs, &filter, &folder)?;
                return Ok(ExitCode::SUCCESS);
            }
            let of_several = inputs.len() > 1;
            if of_several && output.is_none() {
                return Err("of several recordings there are several files: -o FOLDER".into());
            }
            let places = match &output {
                Some(output) => export::places(&inputs, Some(output), export::ending(format))?,
                None => inputs.iter().map(|input| (input, None)).collect(),
            };
            for (input, to) in places {
                let how = Export { input, filter: &filter, format, source };
                match to {
                    Some(path) => {
                        let mut file = WholeFile::create(&path)?;
                        how.write(&mut file)?;
                        file.finish()?;
                    }
                    None => {
                        how.write(&mut io::BufWriter::with_capacity(1 << 16, &mut out.to))?;
                    }
                }
            }
        }
        Command::Graph { files, object, format } => {
            out.files = files.len();
            for file in files {
                let graph = graph::write(&file, object, format)?;
                match format {
                    GraphFormat::Text => out.text(&file, &graph)?,
                    _ => out.raw(&graph)?,
                }
            }
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

/// The objects that a timeline is to show, and what there is beside them.
fn shown(
    input: &Input,
    filter: &Filter,
    limit: usize,
    events: usize,
) -> Result<(Survey, Recording), Failed> {
    // The one that is asked for is found without the others.
    if let Some(object) = filter.object {
        let mut recording = input.objects(&[object].into(), events)?;
        let mut timelines = recording.timelines();
        filter.timelines(&recording, &mut timelines);
        let mut survey = Survey::default();
        survey.objects = timelines.len() as u64;
        let is_shown = survey.objects > 0;
        drop(timelines);
        recording.retain(|_| is_shown);
        return Ok((survey, recording));
    }
    let survey = input.survey(limit, filter)?;
    let ids = survey.first.iter().map(|one| one.id);
    let recording = input.objects(&ids.collect(), events)?;
    Ok((survey, recording))
}

/// What to say where no object is what is asked for.
fn none_matches(input: &Input, filter: &Filter) -> Result<String, Failed> {
    let all = input.survey(0, &Filter::default())?;
    if all.objects == 0 {
        return Ok("there is no object in this recording\n".to_owned());
    }
    let mut text = format!("no object matches {}; there are:\n", escape(&filter.words()));
    let mut types: Vec<_> = all.types.iter().collect();
    types.sort_by_key(|(_, (objects, _))| std::cmp::Reverse(*objects));
    for ((kind, name), (objects, alive)) in types.iter().take(TYPES) {
        let name = escape(name);
        let _ = writeln!(text, "{objects:>9}  {kind}<{name}>, {alive} alive at the end");
    }
    if types.len() > TYPES {
        let _ = writeln!(text, "and {} more types", types.len() - TYPES);
    }
    Ok(text)
}

/// Types that are listed where none is the one that was asked for.
const TYPES: usize = 12;

/// Objects' histories, with the tables that they refer to.
fn timelines_json<'t, 'r: 't>(
    recording: &Recording,
    timelines: impl IntoIterator<Item = &'t Timeline<'r>>,
) -> serde_json::Value {
    json!({
        "refscope_timelines": 1,
        "end": recording.end_time(),
        "lost": recording.lost(),
        "locations": recording.locations(),
        "threads": recording.threads(),
        "spans": recording.spans(),
        "timelines": timelines.into_iter().collect::<Vec<_>>(),
    })
}

/// The stacks of one operation's events, or of the handles that are alive.
fn flame(input: &Input, of: Option<Op>) -> Result<String, Failed> {
    let mut counts: BTreeMap<StackId, u64> = BTreeMap::new();
    let tables = match of {
        Some(op) => {
            let counted = input.file().count_stacks(op).map_err(|error| input.failed(&error))?;
            counts = counted.1;
            counted.0
        }
        None => {
            let (tables, living) = input.live()?;
            let handles = living.iter().flat_map(|object| &object.handles);
            handles
                .filter_map(|handle| handle.stack)
                .for_each(|stack| *counts.entry(stack).or_default() += 1);
            tables
        }
    };
    input.warn_of_damage(&tables);
    input.tell_lost(&tables);
    let stacks: Vec<_> = counts.into_iter().map(|(stack, n)| (stack.resolve(), n)).collect();
    Ok(stack::flame_graph(stacks.iter().map(|(stack, n)| (&**stack, *n))))
}

/// The lines of a flame graph as JSON.
fn flame_json(graph: &str) -> serde_json::Value {
    let rows = graph.lines().filter_map(|line| {
        let (stack, count) = line.rsplit_once(' ')?;
        let frames: Vec<&str> = stack.split(';').collect();
        Some(json!({ "stack": frames, "count": count.parse::<u64>().ok()? }))
    });
    json!({ "refscope_flame": 1, "rows": rows.collect::<Vec<_>>() })
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
