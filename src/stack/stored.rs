//! Stacks in files: as modules and offsets, which stay the same where the program is loaded elsewhere the next time.

use super::frame::{Frame, Stack};
use super::{StackId, capture};
use crate::json::Json;
use crate::lock::Mutex;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

/// The stacks and modules that a file has.
#[derive(Default)]
pub(crate) struct WrittenStacks {
    modules: capture::Modules,
    known: HashSet<usize>,
    stacks: HashSet<StackId>,
}

/// What is new about a stack: modules that it is the first to lie in, and its frames.
pub(crate) struct NewStack {
    /// Number, path and build.
    pub(crate) modules: Vec<(usize, String, Option<String>)>,
    /// Module and offset of each frame; module 0 for an address that lies in none.
    pub(crate) frames: Vec<(usize, u64)>,
}

impl WrittenStacks {
    /// Returns what a file does not have of a stack; `None` where it has all.
    pub(crate) fn news(&mut self, stack: StackId) -> Option<NewStack> {
        if !self.stacks.insert(stack) {
            return None;
        }
        let mut news = NewStack { modules: Vec::new(), frames: Vec::new() };
        for &address in stack.addresses() {
            let Some((module, offset)) = self.modules.locate(address) else {
                news.frames.push((0, address as u64));
                continue;
            };
            if self.known.insert(module) {
                let (path, build) = self.modules.name(module);
                news.modules.push((module + 1, path, build.map(str::to_owned)));
            }
            news.frames.push((module + 1, offset));
        }
        Some(news)
    }

    /// Returns the linker's name of the build that this code is part of.
    pub(crate) fn own_build(&mut self) -> Option<String> {
        let here = Self::own_build as fn(&mut Self) -> Option<String>;
        let (module, _) = self.modules.locate(here as usize)?;
        self.modules.name(module).1.map(str::to_owned)
    }

    /// Writes the lines of a stack, and of modules that it is in, unless they are there.
    pub(crate) fn write_new(&mut self, stack: StackId, lines: &mut String) {
        let Some(NewStack { modules, frames }) = self.news(stack) else { return };
        for (number, path, build) in modules {
            let _ = write!(lines, r#"{{"module":{number},"path":{}"#, Json(&path));
            let _ = match build {
                Some(build) => writeln!(lines, r#","build":"{build}"}}"#),
                None => writeln!(lines, "}}"),
            };
        }
        let frames: Vec<_> =
            frames.iter().map(|(module, offset)| format!("[{module},{offset}]")).collect();
        let frames = frames.join(",");
        let _ = writeln!(lines, r#"{{"stack":{},"frames":[{frames}]}}"#, stack.number());
    }
}

/// An executable or shared library that a file names.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoredModule {
    pub(crate) path: String,
    /// The linker's name of this very build.
    pub(crate) build: Option<String>,
}

/// A stack that was read from a file: each frame's module, and the offset in it.
pub(crate) type StoredFrames = Vec<(Option<Arc<StoredModule>>, u64)>;

/// Numbers of stacks from files have this bit.
const STORED: u32 = 1 << 31;

#[derive(Default)]
struct All {
    stacks: Vec<Arc<StoredFrames>>,
    known: HashMap<Arc<StoredFrames>, u32>,
}

static ALL: Mutex<Option<All>> = Mutex::new(None);

/// Where the stacks from files are.
pub(super) fn own_static() -> std::ops::Range<usize> {
    crate::lock::place(&ALL)
}

/// Returns a number for a stack from a file. It is kept as long as the process runs.
#[cfg_attr(not(feature = "json"), allow(dead_code))]
pub(crate) fn keep(frames: StoredFrames) -> Option<StackId> {
    let mut all = ALL.lock();
    let All { stacks, known } = all.get_or_insert_default();
    let frames = Arc::new(frames);
    let index = *known.entry(Arc::clone(&frames)).or_insert_with(|| {
        stacks.push(frames);
        stacks.len() as u32 - 1
    });
    if index >= STORED { None } else { StackId::new(STORED | index) }
}

/// Returns the frames of a stack that came from a file.
pub(super) fn frames_of(stack: StackId) -> Option<Arc<StoredFrames>> {
    let index = stack.number().checked_sub(STORED)?;
    ALL.lock().as_ref()?.stacks.get(index as usize).cloned()
}

/// A module's path and build.
type ModuleName = (String, Option<String>);

/// Returns a stack's frames as a file has them: of this process, or from a file.
pub(crate) fn frames_in_modules(stack: StackId) -> Vec<(Option<ModuleName>, u64)> {
    if let Some(frames) = frames_of(stack) {
        let name = |module: &Arc<StoredModule>| (module.path.clone(), module.build.clone());
        return frames.iter().map(|(module, at)| (module.as_ref().map(name), *at)).collect();
    }
    let mut modules = WrittenStacks::default().modules;
    let frames = stack.addresses().iter().map(|&address| match modules.locate(address) {
        None => (None, address as u64),
        Some((module, offset)) => {
            let (path, build) = modules.name(module);
            (Some((path, build.map(str::to_owned))), offset)
        }
    });
    frames.collect()
}

/// Finds the names in the files that the program ran from, where they are still the same builds.
pub(super) fn resolve(frames: &StoredFrames, symbols: &mut Symbols) -> Stack {
    let frames = frames.iter().flat_map(|(module, offset)| match module {
        None => vec![Frame::unknown(None, *offset)],
        Some(module) => symbols.frames(module, *offset),
    });
    Stack::new(frames.collect())
}

/// The files that names were looked for in.
#[derive(Default)]
pub(super) struct Symbols {
    #[cfg(feature = "stacks")]
    files: super::symbols::Files,
    #[cfg(feature = "stacks")]
    same: HashMap<Arc<StoredModule>, bool>,
}

impl Symbols {
    #[cfg(feature = "stacks")]
    fn frames(&mut self, module: &Arc<StoredModule>, offset: u64) -> Vec<Frame> {
        let path = std::path::Path::new(&module.path);
        let same = self.same.entry(Arc::clone(module)).or_insert_with(|| {
            let found = super::symbols::build_id(path);
            module.build.is_some() && found == module.build
        });
        if *same {
            return self.files.frames(path, path, offset);
        }
        vec![Frame::unknown(Some(module.path.clone()), offset)]
    }

    #[cfg(not(feature = "stacks"))]
    #[allow(clippy::unused_self)]
    fn frames(&mut self, module: &Arc<StoredModule>, offset: u64) -> Vec<Frame> {
        vec![Frame::unknown(Some(module.path.clone()), offset)]
    }
}
