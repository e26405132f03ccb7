//! Functions and lines by debug information.

use super::frame::{Frame, strip_hash};
use super::location::{is_call, read_source};
use crate::event::is_std_path;
use addr2line::Loader;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The debug information of executables and libraries, and sources, read when they are first asked for.
#[derive(Default)]
pub(crate) struct Files {
    loaders: HashMap<PathBuf, Option<Loader>>,
    sources: HashMap<String, Option<String>>,
}

impl Files {
    /// Returns the frames at a return address, given relative to the file, which is read at `path` and called `name`: first
    /// the innermost of the functions that were inlined there.
    pub(crate) fn frames(&mut self, path: &Path, name: &Path, offset: u64) -> Vec<Frame> {
        let loader = match self.loaders.get(path) {
            Some(loader) => loader,
            None => self.loaders.entry(path.to_owned()).or_insert(Loader::new(path).ok()),
        };
        let plain = Frame::unknown(Some(name.display().to_string()), offset);
        let Some(loader) = loader else { return vec![plain] };
        // The instruction before is the call; the one at the address can be another line's, or another function's.
        let mut frames = named(loader, offset.saturating_sub(1), &plain);
        for frame in &mut frames {
            frame.derived = is_derived(frame, &mut self.sources);
        }
        frames
    }
}

fn named(loader: &Loader, call: u64, plain: &Frame) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut found = loader.find_frames(call).ok();
    while let Some(Ok(Some(frame))) = found.as_mut().map(|found| found.next()) {
        let location = frame.location.as_ref();
        frames.push(Frame {
            function: frame.function.as_ref().and_then(|name| Some(name.demangle().ok()?.into())),
            file: location.and_then(|location| location.file).map(str::to_owned),
            line: location.and_then(|location| location.line),
            column: location.and_then(|location| location.column).filter(|&column| column > 0),
            inlined: true,
            ..plain.clone()
        });
    }
    if frames.is_empty() {
        frames.push(plain.clone());
    }
    let outermost = frames.last_mut().expect("there is at least one");
    outermost.inlined = false;
    // Line tables have a function's name without its path; the symbol table has that, and is there without them too.
    if outermost.function.as_ref().is_none_or(|name| !name.contains("::"))
        && let Some(symbol) = loader.find_symbol(call)
    {
        outermost.function = Some(addr2line::demangle_auto(symbol.into(), None).into_owned());
    }
    frames.iter_mut().filter_map(|frame| frame.function.as_mut()).for_each(strip_hash);
    frames
}

/// Whether a function is what `#[derive(Clone)]` or `#[derive(Default)]` wrote: one whose line is a field's declaration, and not
/// a call. Without the source, any `clone` or `default` of a type's is taken for one, so that its caller is named.
fn is_derived(frame: &Frame, sources: &mut HashMap<String, Option<String>>) -> bool {
    let Some(function) = frame.function.as_deref() else { return false };
    let name = function.split_once('<').filter(|(name, _)| !name.is_empty());
    let is_one = matches!(name.map_or(function, |(name, _)| name), "clone" | "default")
        || function.ends_with(" as core::clone::Clone>::clone")
        || function.ends_with(" as core::default::Default>::default");
    if !is_one || frame.file.as_deref().is_some_and(is_std_path) {
        return false;
    }
    let Some((file, line)) = frame.file.as_ref().zip(frame.line) else { return true };
    let source = sources.entry(file.clone()).or_insert_with(|| read_source(file));
    source.as_ref().is_none_or(|text| !is_call(text, line, frame.column.unwrap_or(0)))
}

/// The linker's name of a file's build, in hexadecimal.
pub(super) fn build_id(path: &Path) -> Option<String> {
    use object::Object as _;
    // A path from a recording can be anything: a pipe would be waited for.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let data = object::ReadCache::new(std::fs::File::open(path).ok()?);
    let file = object::File::parse(&data).ok()?;
    let id = file.build_id().ok()??;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}
