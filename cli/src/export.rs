//! `refscope export` and `refscope pack`: a recording in another form.

use crate::Failed;
use crate::arguments::{Filter, Format, MOST_EVENTS as MOST_OF_ONE};
use crate::input::Input;
use crate::output::WholeFile;
use refscope::__private::{escape, report_of_living};
use refscope::model::{Allocation, RecordingFile, Survey};
use refscope::{ObjectId, render};
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Objects that a page shows at most, and events of them: more than that opens slowly.
const MOST_OBJECTS: usize = 20_000;
const MOST_EVENTS: u64 = 1_000_000;

/// Writes the tables of all recordings into a folder.
#[cfg(feature = "parquet")]
pub(crate) use crate::parquet::export as tables;

#[cfg(not(feature = "parquet"))]
pub(crate) fn tables(_: &[Input], _: &Filter, _: &Path) -> Result<(), Failed> {
    Err(NO_PARQUET.into())
}

const NO_PARQUET: &str =
    "this refscope was built without Parquet: cargo install refscope-cli --features parquet";

/// What is exported, and how.
pub(crate) struct Export<'a> {
    pub(crate) input: &'a Input,
    pub(crate) filter: &'a Filter,
    pub(crate) format: Format,
    pub(crate) source: Option<&'a Path>,
}

/// What an export's name ends with.
pub(crate) fn ending(format: Format) -> &'static str {
    match format {
        Format::Html => "html",
        Format::Perfetto => "perfetto-trace",
        Format::Jsonl => "jsonl",
        Format::Json => "json",
        Format::Dot => "dot",
        Format::Parquet => "parquet",
    }
}

/// Where what is made of each recording goes: a file, or in a folder, or beside it (`None` for the standard input).
pub(crate) fn places<'a>(
    inputs: &'a [Input],
    output: Option<&Path>,
    ending: &str,
) -> Result<Vec<(&'a Input, Option<PathBuf>)>, Failed> {
    let folder = match output {
        Some(output) if inputs.len() > 1 || output.is_dir() => {
            std::fs::create_dir_all(output)
                .map_err(|error| format!("{}: {error}", output.display()))?;
            Some(output)
        }
        _ => None,
    };
    let mut taken = HashSet::new();
    let place = |input: &'a Input| {
        let own = input.path();
        let is_named = own != Path::new("-");
        let stem = if is_named { own.file_stem().unwrap_or_default() } else { "stdin".as_ref() };
        let stem = stem.to_string_lossy();
        let path = match (folder, output) {
            (Some(folder), _) => {
                // Recordings of several folders may have one name.
                let mut name = format!("{stem}.{ending}");
                let mut number = 2;
                while !taken.insert(name.clone()) {
                    name = format!("{stem}-{number}.{ending}");
                    number += 1;
                }
                Some(folder.join(name))
            }
            (None, Some(output)) => Some(output.to_owned()),
            (None, None) => is_named.then(|| own.with_file_name(format!("{stem}.{ending}"))),
        };
        (input, path)
    };
    let places: Vec<_> = inputs.iter().map(place).collect();
    let real: HashSet<_> =
        inputs.iter().filter_map(|input| input.path().canonicalize().ok()).collect();
    for path in places.iter().filter_map(|(_, path)| path.as_ref()) {
        if path.canonicalize().is_ok_and(|path| real.contains(&path)) {
            let text = "this is a recording that is read, and would be overwritten: -o names another file or folder";
            return Err(format!("{}: {text}", path.display()).into());
        }
    }
    Ok(places)
}

/// Packs a recording, and returns what to say of it.
pub(crate) fn pack(input: &Input, to: &Path) -> Result<String, Failed> {
    let is_growing = input.file().is_being_written();
    let mut file = WholeFile::create(to)?;
    let packed = input.file().pack(&mut file);
    crate::input::clear();
    let (events, bytes) = packed.map_err(|error| input.failed(&error))?;
    file.finish()?;
    if is_growing {
        // The tables alone, which are soon read.
        let tables = RecordingFile::open(to).and_then(|file| file.objects(&HashSet::new()));
        let tables = tables.map_err(|error| format!("{}: {error}", to.display()))?;
        let writer = match tables.origin().map(|origin| origin.pid) {
            Some(pid) if pid > 0 => format!("process {pid}"),
            _ => "another process".to_owned(),
        };
        let text = format!(
            "it is still being written by {writer}; packed is what there was up to {:.3} s after the start",
            tables.end_time().as_nanos() as f64 / 1e9
        );
        crate::input::note(input.path(), &text);
    }
    let each = if events == 0 { 0.0 } else { bytes as f64 / events as f64 };
    let path = escape(&to.display().to_string()).to_string();
    Ok(format!("{path}: {events} events in {bytes} B, {each:.1} B an event\n"))
}

/// Which objects are asked for. Of those that are alive, one has to know first which they are.
pub(crate) fn wanted<'a>(
    input: &'a Input,
    filter: &'a Filter,
) -> Result<impl Fn(&Allocation<'_>) -> bool + use<'a>, Failed> {
    let alive: Option<HashSet<ObjectId>> = if filter.alive {
        let (_, living) = input.live()?;
        let alive = living.into_iter().filter(|object| object.strong > 0);
        Some(alive.map(|object| object.id).collect())
    } else {
        None
    };
    Ok(move |allocation: &Allocation<'_>| {
        filter.accepts(allocation)
            && alive.as_ref().is_none_or(|alive| alive.contains(&allocation.object.id))
    })
}

impl Export<'_> {
    pub(crate) fn write(&self, to: &mut impl Write) -> Result<(), Failed> {
        match self.format {
            Format::Html => self.html(to)?,
            Format::Jsonl => {
                let wanted = wanted(self.input, self.filter)?;
                let done = render::jsonl_of(self.input.file(), wanted, &mut *to);
                self.input.written(done)?;
            }
            Format::Perfetto => {
                let wanted = wanted(self.input, self.filter)?;
                let done = render::perfetto_of(self.input.file(), wanted, &mut *to);
                self.input.written(done)?;
            }
            Format::Json => {
                let (recording, mut living) = self.input.live()?;
                self.filter.living(&mut living);
                writeln!(to, "{}", report_of_living(&recording, living).json())?;
            }
            // It is several files, which are not written here.
            Format::Parquet => return Err(NO_PARQUET.into()),
            Format::Dot => {
                let object =
                    self.filter.object.ok_or("a DOT graph is of one object: --object NUMBER")?;
                let recording = self.input.object(object, MOST_OF_ONE)?;
                let timelines = recording.timelines();
                let found = crate::run::find(&timelines, object, self.input.path())?;
                if found.omitted > 0 {
                    let omitted = found.omitted;
                    let text = format!("{omitted} events in between are left out of the graph");
                    crate::input::note(self.input.path(), &text);
                }
                to.write_all(render::dot(&timelines, found).as_bytes())?;
            }
        }
        to.flush()?;
        Ok(())
    }

    /// Writes a page of what is worth looking at, and says what it leaves out.
    fn html(&self, to: &mut impl Write) -> Result<(), Failed> {
        let survey = self.input.survey(MOST_OBJECTS, self.filter)?;
        let shown = self.worth_showing(&survey);
        let recording = self.input.objects(&shown, MOST_EVENTS as usize)?;
        let timelines = recording.timelines();
        let left = survey.objects.saturating_sub(timelines.len() as u64);
        let note = (left > 0).then(|| {
            let alive = timelines.iter().filter(|timeline| timeline.is_alive()).count() as u64;
            format!(
                "{left} of {} objects are left out, {} of them alive: shown are those that are alive, the largest, and those \
                 with the most events. Export others by --type, --site, --object, --from and --to",
                survey.objects,
                survey.alive.saturating_sub(alive)
            )
        });
        let omitted: u64 = timelines.iter().map(|timeline| timeline.omitted).sum();
        let cut = (omitted > 0).then(|| {
            format!("{omitted} events in the middle of long histories are left out, and the handles that they made and ended")
        });
        let notes: Vec<String> = note.into_iter().chain(cut).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        if let Some(note) = &note {
            crate::input::note(self.input.path(), note);
        }
        let page = render::html_with_sources(&timelines, self.source, note.as_deref());
        to.write_all(page.as_bytes())?;
        Ok(())
    }

    /// What is alive, then the largest values and what had the most events by turns, as far as a page has room.
    fn worth_showing(&self, survey: &Survey) -> HashSet<ObjectId> {
        let asked = self.filter.object;
        let alive = survey.first.iter().filter(|one| one.is_alive);
        let rest = survey.first.iter().filter(|one| !one.is_alive);
        let by_turns = survey.biggest.iter().map(Some).chain(std::iter::repeat(None));
        let active = rest.map(Some).chain(std::iter::repeat(None));
        let by_turns = by_turns
            .zip(active)
            .take_while(|pair| *pair != (None, None))
            .flat_map(|(big, active)| [big, active]);
        let (mut shown, mut events) = (HashSet::new(), 0);
        for one in alive.map(Some).chain(by_turns).flatten() {
            let fits = shown.len() < MOST_OBJECTS && events + one.events <= MOST_EVENTS;
            if (fits || asked == Some(one.id)) && shown.insert(one.id) {
                events += one.events;
            }
        }
        shown
    }
}
