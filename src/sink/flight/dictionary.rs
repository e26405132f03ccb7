//! What is defined in the file: each type, line, path, thread, label, span and stack once, before what refers to it.

use super::entries::{Entry, Writer};
use super::space::Space;
use crate::event::{Caller, Kind, Label, Thread, Time, Type};
use crate::model::Origin;
use crate::model::format::EntryKind;
use crate::runtime::log::Subject;
use crate::runtime::view;
use crate::sink::sources::{self, New};
use crate::stack::{StackId, WrittenStacks};
use std::collections::{HashMap, HashSet};

/// What the file knows.
pub(super) struct Dictionary {
    writer: Writer,
    /// The first path that it does not.
    new_path: u32,
    sites: HashMap<Caller, u64>,
    types: HashSet<usize>,
    threads: Numbers,
    labels: HashSet<u32>,
    spans: HashSet<u32>,
    stacks: WrittenStacks,
    files: HashSet<&'static str>,
    /// Sources that the file does not have yet.
    new_sources: New,
}

/// Numbers of threads, of which there may have been very many: a bit each.
#[derive(Default)]
struct Numbers(Vec<u64>);

impl Numbers {
    fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|bits| bits >> (number % 64) & 1 != 0)
    }

    fn insert(&mut self, number: u32) {
        let place = number as usize / 64;
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        self.0[place] |= 1 << (number % 64);
    }
}

impl Dictionary {
    pub(super) fn new() -> Self {
        Self {
            writer: Writer::default(),
            new_path: 1,
            sites: HashMap::new(),
            types: HashSet::new(),
            threads: Numbers::default(),
            labels: HashSet::new(),
            spans: HashSet::new(),
            stacks: WrittenStacks::default(),
            files: HashSet::new(),
            new_sources: New::default(),
        }
    }

    /// Writes whose recording it is.
    pub(super) fn origin(&mut self, space: &Space, origin: &Origin) -> bool {
        let build = self.stacks.own_build().unwrap_or_default();
        let texts = [
            (EntryKind::Program, &origin.program),
            (EntryKind::Directory, &origin.directory),
            (EntryKind::Host, &origin.host),
            (EntryKind::Build, &build),
        ];
        let texts = texts.into_iter().map(|(kind, text)| (kind, 0, text));
        let arguments = (0..).zip(&origin.arguments);
        let arguments = arguments.map(|(index, text)| (EntryKind::Argument, index, text));
        texts
            .chain(arguments)
            .all(|(kind, key, text)| self.writer.text(space, Entry::new(kind, key), text))
    }

    pub(super) fn define(&mut self, space: &Space, subject: Subject) -> bool {
        let entry = Entry::new;
        match subject {
            Subject::Type(ty) => self.define_type(space, ty),
            Subject::Thread(number) => {
                let name =
                    || Thread::from_number(number).map_or_else(String::new, |t| t.to_string());
                let entry = entry(EntryKind::Thread, number.into());
                let is_written =
                    self.threads.contains(number) || self.writer.text(space, entry, &name());
                if is_written {
                    self.threads.insert(number);
                }
                is_written
            }
            Subject::Label(number) => {
                let entry = entry(EntryKind::Label, number.into());
                let text = || Label(number).text().unwrap_or_default();
                once(&mut self.labels, number, || self.writer.text(space, entry, text()))
            }
            Subject::Span(number) => {
                let entry = entry(EntryKind::Span, number.into());
                let text = || crate::span::text(number).unwrap_or_default();
                once(&mut self.spans, number, || self.writer.text(space, entry, &text()))
            }
            Subject::Stack(number) => self.define_stack(space, number),
        }
    }

    fn define_type(&mut self, space: &Space, ty: &'static Type) -> bool {
        let address = std::ptr::from_ref(ty).addr();
        let kind = match ty.kind {
            Kind::Box => 1,
            Kind::Rc => 2,
            Kind::Arc => 3,
        };
        let entry = Entry { kind: EntryKind::Type, key: address as u64, values: [kind, 0] };
        once(&mut self.types, address, || self.writer.text(space, entry, ty.name()))
    }

    /// Writes all paths that there are, and returns the number of the first one that is not there.
    pub(super) fn define_paths(&mut self, space: &Space) -> Option<u32> {
        while let Some(((op, site), cut, parent)) = view::last_step(self.new_path) {
            let site = self.site(space, site)?;
            let how = u64::from(parent) << 32 | u64::from(cut) << 8 | op as u64;
            let key = self.new_path.into();
            let entry = Entry { kind: EntryKind::Path, key, values: [how, site] };
            if !self.writer.words(space, entry, &[]) {
                return None;
            }
            self.new_path += 1;
        }
        Some(self.new_path)
    }

    fn site(&mut self, space: &Space, site: Caller) -> Option<u64> {
        if let Some(&known) = self.sites.get(&site) {
            return Some(known);
        }
        let number = self.sites.len() as u64 + 1;
        let place = u64::from(site.line()) << 32 | u64::from(site.column());
        let entry = Entry { kind: EntryKind::Site, key: number, values: [place, 0] };
        if !self.writer.text(space, entry, site.file()) {
            return None;
        }
        self.sites.insert(site, number);
        if self.files.insert(site.file()) {
            self.new_sources.files.push(site.file());
        }
        self.new_sources.sites.push((number, site));
        Some(number)
    }

    fn define_stack(&mut self, space: &Space, number: u32) -> bool {
        let Some(news) = StackId::new(number).and_then(|stack| self.stacks.news(stack)) else {
            return true;
        };
        for (module, path, build) in news.modules {
            let module = module as u64;
            let build = build.unwrap_or_default();
            let [path_entry, build_entry] =
                [EntryKind::Module, EntryKind::ModuleBuild].map(|kind| Entry::new(kind, module));
            // What a file knows of a stack is not written again: one that found no room has none.
            if !self.writer.text(space, path_entry, &path)
                || !self.writer.text(space, build_entry, &build)
            {
                return false;
            }
        }
        let words = news.frames.iter().flat_map(|&(module, offset)| [module as u64, offset]);
        let words: Vec<u64> = words.collect();
        self.writer.words(space, Entry::new(EntryKind::Stack, number.into()), &words)
    }

    pub(super) fn mark(&mut self, space: &Space, name: &str, time: Time) -> bool {
        let entry = Entry { kind: EntryKind::Mark, key: 0, values: [time.as_nanos(), 0] };
        self.writer.text(space, entry, name)
    }

    /// Takes out the sources that the file does not have yet.
    pub(super) fn take_sources(&mut self) -> New {
        std::mem::take(&mut self.new_sources)
    }

    /// Writes what a source file is, so that a reader knows whether it has the same; or lines of one, for a reader that does not.
    pub(super) fn source(&mut self, space: &Space, entry: &sources::SourceEntry<'_>) -> bool {
        match *entry {
            sources::SourceEntry::File(file, (length, hash)) => {
                let entry = Entry { kind: EntryKind::Source, key: 0, values: [length, hash] };
                self.writer.text(space, entry, file)
            }
            sources::SourceEntry::Lines(site, first, text) => {
                let entry = Entry { kind: EntryKind::Lines, key: site, values: [first.into(), 0] };
                self.writer.text(space, entry, text)
            }
        }
    }
}

/// Defines what is not known, and notes that it is.
fn once<T: Eq + std::hash::Hash>(
    known: &mut HashSet<T>,
    what: T,
    define: impl FnOnce() -> bool,
) -> bool {
    known.contains(&what) || (define() && known.insert(what))
}
