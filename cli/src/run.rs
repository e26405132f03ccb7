//! What each subcommand does.

use crate::apart::{Apart, Spread};
use crate::arguments::{AxisBy, Files, Filter, Format, GraphFormat};
use crate::export::{self, Export};
use crate::input::{self, Input, several};
use crate::leaks::{self, Look, about};
use crate::output::{Output, WholeFile, end_on_signals};
use crate::top::{self, By, Fleet};
use crate::{Failed, diff, graph};
use refscope::__private::escape;
use refscope::analysis::{Timeline, Timelines};
use refscope::model::Survey;
use refscope::render::Terminal;
use refscope::stack::{self, StackId};
use refscope::{ObjectId, Op, Recording};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// How `leaks` prints its reports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaksAs {
    Text,
    Json,
    Annotations,
}

/// A subcommand at work: where its results go, and how.
pub(crate) struct Run<'a> {
    pub(crate) out: Output,
    /// Where source files are.
    pub(crate) source: Option<&'a Path>,
    pub(crate) color: bool,
}

impl Run<'_> {
    fn terminal(&self) -> Terminal {
        let terminal = Terminal::stdout().color(self.color);
        if let Some(source) = self.source { terminal.source(source) } else { terminal }
    }

    fn inputs(&mut self, files: &[PathBuf]) -> Result<Vec<Input>, Failed> {
        end_on_signals();
        let inputs = several(files)?;
        self.out.files = inputs.len();
        Ok(inputs)
    }

    /// Prints the reports. False where one does not pass.
    pub(crate) fn leaks(
        &mut self,
        files: &Files,
        look: &Look<'_>,
        at: Option<&str>,
        by: Option<Apart>,
        how: LeaksAs,
    ) -> Result<bool, Failed> {
        let mut passes = true;
        let mut spread = by.map(Spread::new);
        for input in self.inputs(&files.files)? {
            let (report, recording, became, peaks) = match at {
                None => {
                    // Tables and annotations have no place for what was there shortly before.
                    let names_peaks = spread.is_none() && how != LeaksAs::Annotations;
                    let (recording, living, peaks) = match names_peaks {
                        true => input.live_and_peaks()?,
                        false => {
                            let (recording, living) = input.live()?;
                            (recording, living, Vec::new())
                        }
                    };
                    let peaks = leaks::peaks(&input, &recording, peaks, look)?;
                    (look.report(&recording, living)?, recording, leaks::peaks_text(&peaks), peaks)
                }
                Some(at) => {
                    let (report, recording, became) = leaks::at(&input, at, look)?;
                    (report, recording, became, Vec::new())
                }
            };
            if report.is_empty() {
                input.has_objects_or_is_whole(&recording)?;
            }
            passes &= report.passes();
            // Tables and annotations have no place for it.
            if spread.is_some() || how == LeaksAs::Annotations {
                input.warn_of_lost(&recording);
            }
            if let Some(spread) = &mut spread {
                spread.add(&recording, input.path(), &report);
            } else if how == LeaksAs::Json {
                self.out.json(&leaks::with_peaks(&report, &peaks)?)?;
            } else if how == LeaksAs::Annotations {
                self.out.raw(&report.annotations())?;
            } else {
                let report = self.terminal().sources_of(&recording).render_report(&report);
                self.out.text(input.path(), &format!("{}{report}{became}", about(&recording)))?;
            }
        }
        match spread {
            Some(spread) if how == LeaksAs::Json => self.out.json(&spread.json())?,
            Some(spread) => self.out.raw(&spread.table())?,
            None => {}
        }
        Ok(passes)
    }

    pub(crate) fn timeline(
        &mut self,
        files: &Files,
        filter: &Filter,
        by: AxisBy,
        (limit, events): (usize, usize),
        json: bool,
    ) -> Result<(), Failed> {
        for input in self.inputs(&files.files)? {
            let (survey, recording) = shown(&input, filter, limit, events)?;
            let timelines = recording.timelines();
            if json {
                self.out.json(&timelines_json(&recording, &timelines))?;
                continue;
            }
            let terminal = match by {
                AxisBy::Time => self.terminal(),
                AxisBy::Events => self.terminal().by_events(),
            };
            let terminal = terminal.sources_of(&recording).limit(limit).sums_of(&survey);
            let mut text = terminal.render_timelines(&timelines);
            if survey.objects == 0 {
                text.push_str(&none_matches(&input, filter)?);
            }
            self.out.text(input.path(), &text)?;
        }
        Ok(())
    }

    pub(crate) fn top(
        &mut self,
        files: &Files,
        filter: &Filter,
        by: By,
        limit: usize,
        json: bool,
    ) -> Result<(), Failed> {
        let mut fleet = by.apart().map(Fleet::new);
        for input in self.inputs(&files.files)? {
            let (recording, mut living) = input.live()?;
            input.warn_of_lost(&recording);
            filter.living(&mut living);
            if let Some(fleet) = &mut fleet {
                fleet.add(&recording, input.path(), &living);
            } else if json {
                self.out.json(&top::json(&living, recording.end_time(), by, limit))?;
            } else {
                let mut text = top::table(&living, recording.end_time(), by, limit);
                if living.is_empty() {
                    text.push_str("nothing that is asked for was alive at the end\n");
                }
                self.out.text(input.path(), &text)?;
            }
        }
        match fleet {
            Some(fleet) if json => self.out.json(&fleet.json(limit))?,
            Some(fleet) => self.out.raw(&fleet.table(limit))?,
            None => {}
        }
        Ok(())
    }

    pub(crate) fn diff(
        &mut self,
        a: PathBuf,
        b: PathBuf,
        filter: &Filter,
        by: Option<Apart>,
        json: bool,
    ) -> Result<(), Failed> {
        let (a, b) = (self.inputs(&[a])?, self.inputs(&[b])?);
        let rows = diff::rows(&a, &b, filter, by)?;
        match json {
            true => self.out.json(&diff::json(&rows, by))?,
            false => self.out.raw(&diff::table(&rows, by))?,
        }
        Ok(())
    }

    pub(crate) fn tree(
        &mut self,
        files: &Files,
        object: ObjectId,
        events: usize,
        json: bool,
    ) -> Result<(), Failed> {
        for input in self.inputs(&files.files)? {
            let recording = input.object(object, events)?;
            let timelines = recording.timelines();
            let found = find(&timelines, object, input.path())?;
            match json {
                true => self.out.json(&timelines_json(&recording, [found]))?,
                false => {
                    input.warn_of_lost(&recording);
                    self.out.text(input.path(), &self.terminal().tree(&timelines, found))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn balance(
        &mut self,
        files: &Files,
        object: ObjectId,
        tree: bool,
        json: bool,
    ) -> Result<(), Failed> {
        for input in self.inputs(&files.files)? {
            let balance = input.balance(object)?;
            let balance = balance
                .ok_or_else(|| format!("{}: no event of {object}", input.path().display()))?;
            if json {
                self.out.json(
                    &json!({ "refscope_balance": 1, "object": object, "balance": balance }),
                )?;
            } else if tree {
                let text: String = balance.tree.iter().map(|node| format!("{node}\n")).collect();
                self.out.text(input.path(), &text)?;
            } else {
                self.out.text(input.path(), &format!("{balance}\n"))?;
            }
        }
        Ok(())
    }

    pub(crate) fn flame(
        &mut self,
        files: &Files,
        of: Option<&str>,
        json: bool,
    ) -> Result<(), Failed> {
        let of = match of.map(|name| (name, Op::from_name(name))) {
            Some((name, None)) => return Err(unknown_operation(name).into()),
            other => other.and_then(|(_, op)| op),
        };
        // Of several recordings one graph: lines of one stack are summed by who reads them.
        for input in self.inputs(&files.files)? {
            let graph = flame(&input, of)?;
            match json {
                true => self.out.json(&flame_json(&graph))?,
                false => self.out.raw(&graph)?,
            }
        }
        Ok(())
    }

    pub(crate) fn pack(&mut self, files: &Files, output: Option<&Path>) -> Result<(), Failed> {
        let mut inputs = self.inputs(&files.files)?;
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
        for (input, to) in export::places(&inputs, output, "packed.refscope")? {
            let to = to.ok_or("what comes by the standard input has no name: -o FILE")?;
            self.out.raw(&export::pack(input, &to)?)?;
        }
        Ok(())
    }

    pub(crate) fn export(
        &mut self,
        files: &Files,
        filter: &Filter,
        format: Format,
        output: Option<PathBuf>,
    ) -> Result<(), Failed> {
        let inputs = self.inputs(&files.files)?;
        if format == Format::Parquet {
            let folder = output.ok_or("tables are several files: -o FOLDER")?;
            if folder.exists() && !folder.is_dir() {
                let text = "tables are several files, and this is no folder";
                return Err(format!("{}: {text}", folder.display()).into());
            }
            export::tables(&inputs, filter, &folder)?;
            return Ok(());
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
            let how = Export { input, filter, format, source: self.source };
            match to {
                Some(path) => {
                    let mut file = WholeFile::create(&path)?;
                    how.write(&mut file)?;
                    file.finish()?;
                }
                None => {
                    how.write(&mut io::BufWriter::with_capacity(1 << 16, &mut self.out.to))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn graph(
        &mut self,
        files: Vec<PathBuf>,
        object: Option<ObjectId>,
        format: GraphFormat,
    ) -> Result<(), Failed> {
        self.out.files = files.len();
        for file in files {
            let graph = graph::write(&file, object, format)?;
            match format {
                GraphFormat::Text => self.out.text(&file, &graph)?,
                _ => self.out.raw(&graph)?,
            }
        }
        Ok(())
    }
}

/// The objects that a timeline is to show, with so many events of each, and what there is beside them.
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
    input.warn_of_lost(&tables);
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

pub(crate) fn find<'t, 'r>(
    timelines: &'t Timelines<'r>,
    object: ObjectId,
    file: &Path,
) -> Result<&'t Timeline<'r>, Failed> {
    timelines
        .iter()
        .find(|timeline| timeline.object.id == object)
        .ok_or_else(|| format!("{}: there is no object {object}", file.display()).into())
}
