//! The files that are mapped, and the names of the statics in them: by their symbol tables, with the feature `stacks`.

use super::memory::Region;
use std::ops::Range;

/// A program or library in memory.
pub(super) struct Image {
    /// Its path.
    pub(super) path: String,
    /// Where its first byte is.
    base: u64,
    /// From its first to its last byte in memory.
    range: Range<u64>,
    /// Whether it is the program, and not a library.
    pub(super) is_program: bool,
    #[cfg(feature = "stacks")]
    symbols: std::cell::OnceCell<table::Symbols>,
}

/// The files that are mapped.
pub(super) fn images(regions: &[Region]) -> Vec<Image> {
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let mut images: Vec<Image> = Vec::new();
    for region in regions.iter().filter(|region| region.is_file()) {
        if images.last().is_none_or(|image| image.path != region.name) {
            let base = region.range.start.wrapping_sub(region.offset);
            let mut image = Image::new(region.name.clone(), base);
            image.is_program = program == std::path::Path::new(&image.path);
            images.push(image);
        }
        if let Some(image) = images.last_mut() {
            image.range.end = region.range.end;
        }
    }
    images
}

impl Image {
    fn new(path: String, base: u64) -> Self {
        Self {
            path,
            base,
            range: base..base,
            is_program: false,
            #[cfg(feature = "stacks")]
            symbols: std::cell::OnceCell::new(),
        }
    }

    /// Its name without the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// An address in the file, of one in memory.
    pub(super) fn address(&self, address: u64) -> u64 {
        address.wrapping_sub(self.base)
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        self.range.contains(&address)
    }

    /// Whether it is a program or library that has an async runtime's tasks.
    #[cfg(feature = "stacks")]
    pub(super) fn has_tasks(&self) -> bool {
        self.is_program && self.symbols().has_tasks()
    }

    /// The name of the task that the function at an address is a runtime's for.
    #[cfg(feature = "stacks")]
    pub(super) fn task_at(&self, function: u64) -> Option<String> {
        self.symbols().task_at(self.address(function))
    }

    #[cfg(not(feature = "stacks"))]
    #[allow(clippy::unused_self)] // as with the feature
    pub(super) fn has_tasks(&self) -> bool {
        false
    }

    #[cfg(not(feature = "stacks"))]
    #[allow(clippy::unused_self)] // as with the feature
    pub(super) fn task_at(&self, _: u64) -> Option<String> {
        None
    }

    /// The name of the static at an address in memory, where the file has a symbol for it.
    #[cfg(feature = "stacks")]
    pub(super) fn static_at(&self, address: u64) -> Option<String> {
        self.symbols().static_at(self.address(address))
    }

    /// Where the static at an address in memory ends, where the file has a symbol for it.
    #[cfg(feature = "stacks")]
    pub(super) fn static_end(&self, address: u64) -> Option<u64> {
        let left = self.symbols().static_left(self.address(address))?;
        Some(address + left)
    }

    #[cfg(not(feature = "stacks"))]
    #[allow(clippy::unused_self)] // as with the feature
    pub(super) fn static_end(&self, _: u64) -> Option<u64> {
        None
    }

    /// How many bytes of the thread-local at an offset there are from there on.
    #[cfg(feature = "stacks")]
    pub(super) fn thread_local_left(&self, offset: u64) -> Option<u64> {
        self.symbols().thread_local_left(offset)
    }

    #[cfg(not(feature = "stacks"))]
    #[allow(clippy::unused_self)] // as with the feature
    pub(super) fn thread_local_left(&self, _: u64) -> Option<u64> {
        None
    }

    /// The name of the thread-local at an offset in those of the file.
    #[cfg(feature = "stacks")]
    pub(super) fn thread_local_at(&self, offset: u64) -> Option<String> {
        self.symbols().thread_local_at(offset)
    }

    /// Where std keeps what it has read of the program's debug information, for the backtraces that it prints.
    #[cfg(feature = "stacks")]
    pub(super) fn backtrace_cache(&self) -> Option<Range<u64>> {
        let range = self.is_program.then(|| self.symbols().backtrace_cache())??;
        Some(range.start.wrapping_add(self.base)..range.end.wrapping_add(self.base))
    }

    #[cfg(not(feature = "stacks"))]
    #[allow(clippy::unused_self)] // as with the feature
    pub(super) fn backtrace_cache(&self) -> Option<Range<u64>> {
        None
    }

    #[cfg(feature = "stacks")]
    fn symbols(&self) -> &table::Symbols {
        self.symbols.get_or_init(|| {
            // What runs may have been deleted, or be another file by now.
            let path = if self.is_program { "/proc/self/exe" } else { &self.path };
            table::Symbols::read(path).unwrap_or_default()
        })
    }

    #[cfg(not(feature = "stacks"))]
    #[allow(clippy::unused_self)] // as with the feature
    pub(super) fn static_at(&self, _: u64) -> Option<String> {
        None
    }

    #[cfg(not(feature = "stacks"))]
    #[allow(clippy::unused_self)] // as with the feature
    pub(super) fn thread_local_at(&self, _: u64) -> Option<String> {
        None
    }
}

/// The running program's file.
#[cfg(feature = "stacks")]
pub(super) struct Program {
    name: String,
    map: memmap2::Mmap,
}

#[cfg(feature = "stacks")]
impl Program {
    pub(super) fn map() -> Option<Self> {
        // What runs may have been deleted, or be another file by now.
        let file = std::fs::File::open("/proc/self/exe").ok()?;
        let path = std::fs::read_link("/proc/self/exe").ok()?;
        // SAFETY: PROGRAM: nobody can write to a file while it is run as a program.
        let map = unsafe { memmap2::Mmap::map(&file) }.ok()?;
        Some(Self { name: path.file_name()?.to_string_lossy().into_owned(), map })
    }

    /// Its name without the path.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(feature = "stacks")]
mod table {
    use super::super::task_names;
    use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, SymbolKind};
    use std::cell::OnceCell;
    use std::collections::{BTreeMap, HashMap};
    use std::path::PathBuf;

    /// The statics of a file.
    #[derive(Default)]
    pub(super) struct Symbols {
        /// By address in the file's memory: size, and name as the linker has it.
        statics: BTreeMap<u64, (u64, String)>,
        /// By offset in a thread's.
        thread_locals: BTreeMap<u64, (u64, String)>,
        /// The functions that async runtimes have for a task, by address in the file's memory.
        tasks: BTreeMap<u64, (u64, String)>,
        /// The futures of those, where the symbols do not have them.
        futures: OnceCell<HashMap<u64, String>>,
        path: PathBuf,
        /// What is added to a place in the file to get the address that symbols have.
        bias: u64,
    }

    impl Symbols {
        /// Reads a file's symbols. `None` where it is none that could be read.
        pub(super) fn read(path: &str) -> Option<Self> {
            // A pipe would be waited for.
            if !std::fs::metadata(path).ok()?.is_file() {
                return None;
            }
            let data = object::ReadCache::new(std::fs::File::open(path).ok()?);
            let file = object::File::parse(&data).ok()?;
            let mut symbols = Self { path: path.into(), ..Self::default() };
            if let Some(first) = file.segments().next() {
                symbols.bias = first.address().wrapping_sub(first.file_range().0);
            }
            // The second is there in a stripped file too: what a library exports.
            for symbol in file.symbols().chain(file.dynamic_symbols()) {
                let table = match symbol.kind() {
                    SymbolKind::Data => &mut symbols.statics,
                    SymbolKind::Tls => &mut symbols.thread_locals,
                    SymbolKind::Text if symbol.name().is_ok_and(is_of_task) => &mut symbols.tasks,
                    _ => continue,
                };
                if !symbol.is_undefined()
                    && symbol.size() > 0
                    && let Ok(name) = symbol.name()
                {
                    let entry = table.entry(symbol.address());
                    entry.or_insert_with(|| (symbol.size(), name.to_owned()));
                }
            }
            Some(symbols)
        }

        pub(super) fn has_tasks(&self) -> bool {
            !self.tasks.is_empty()
        }

        pub(super) fn task_at(&self, function: u64) -> Option<String> {
            let address = function.wrapping_add(self.bias);
            let (_, name) = self.tasks.get(&address)?;
            let name = task_name(&demangled(name));
            if name.contains("::") {
                return Some(name);
            }
            let addresses = || self.tasks.keys().copied().collect();
            let futures = self.futures.get_or_init(|| task_names::read(&self.path, &addresses()));
            Some(futures.get(&address).cloned().unwrap_or(name))
        }

        pub(super) fn static_at(&self, address: u64) -> Option<String> {
            named(&self.statics, address.wrapping_add(self.bias))
        }

        /// How many bytes of a static there are from an address on.
        pub(super) fn static_left(&self, address: u64) -> Option<u64> {
            left(&self.statics, address.wrapping_add(self.bias))
        }

        pub(super) fn thread_local_left(&self, offset: u64) -> Option<u64> {
            left(&self.thread_locals, offset)
        }

        /// The place in the file of std's static for it.
        pub(super) fn backtrace_cache(&self) -> Option<std::ops::Range<u64>> {
            let is_cache = |name: &str| name.contains("14MAPPINGS_CACHE") && name.contains("gimli");
            let (address, (size, _)) = self.statics.iter().find(|(_, (_, name))| is_cache(name))?;
            let start = address.wrapping_sub(self.bias);
            Some(start..start + size)
        }

        pub(super) fn thread_local_at(&self, offset: u64) -> Option<String> {
            named(&self.thread_locals, offset)
        }
    }

    /// Whether a symbol, as the linker has it, is a function that tokio, or async-task (smol, async-std), has for a task.
    fn is_of_task(mangled: &str) -> bool {
        ["5tokio7runtime4task3raw", "10async_task3raw"].iter().any(|path| mangled.contains(path))
    }

    /// The future's name, of a runtime's function for it; the runtime's, where the symbol does not have it.
    fn task_name(function: &str) -> String {
        match function.split_once("::<") {
            Some((_, parameters)) => written(task_names::first_parameter(parameters)),
            None => function.split("::").next().unwrap_or(function).trim_start_matches('<').into(),
        }
    }

    /// A future's name as its source has it: an async function is a closure in one of that name, and a method stands behind its
    /// type in angle brackets.
    fn written(future: &str) -> String {
        let function = future.split("::{").next().unwrap_or(future);
        match function.strip_prefix('<').and_then(|rest| rest.split_once(">::")) {
            Some((of, method)) if !of.contains(['<', ' ']) => format!("{of}::{method}"),
            _ => function.to_owned(),
        }
    }

    fn named(table: &BTreeMap<u64, (u64, String)>, address: u64) -> Option<String> {
        let (start, (size, name)) = table.range(..=address).next_back()?;
        (address - start < *size).then(|| without_macros(demangled(name)))
    }

    fn left(table: &BTreeMap<u64, (u64, String)>, address: u64) -> Option<u64> {
        let (start, (size, _)) = table.range(..=address).next_back()?;
        (start + size).checked_sub(address).filter(|&left| left > 0)
    }

    fn demangled(name: &str) -> String {
        let mut name = addr2line::demangle_auto(name.into(), None).into_owned();
        crate::stack::strip_hash(&mut name);
        name
    }

    /// The name as the source has it: `thread_local!` puts its static into a closure of a constant of that name.
    fn without_macros(mut name: String) -> String {
        for end in
            ["::{{constant}}", "::{constant#", "::{K#", "::{{closure}}", "::{closure#", "::__getit"]
        {
            if let Some(at) = name.find(end).filter(|&at| at > 0 && name.ends_with("VAL")) {
                name.truncate(at);
            }
        }
        name
    }

    #[cfg(test)]
    mod tests {
        use super::super::images;
        use super::{Symbols, demangled, task_name, without_macros};
        use crate::locate::memory::ProcessMemory;
        use std::cell::Cell;
        use std::sync::atomic::{AtomicU64, Ordering};

        static MARKED: [AtomicU64; 3] = [const { AtomicU64::new(1) }; 3];

        thread_local! {
            static OWN: Cell<u64> = const { Cell::new(0) };
        }

        #[test]
        fn a_static_of_this_program_is_named() {
            MARKED[2].store(2, Ordering::Relaxed);
            let memory = ProcessMemory::of(std::process::id() as _);
            let images = images(&memory.regions().expect("they can be read"));
            let program = images.iter().find(|image| image.is_program).expect("it is mapped");
            let at = |index: usize| std::ptr::from_ref(&MARKED[index]).addr() as u64;
            let name = program.static_at(at(2)).expect("it has a symbol");
            assert!(name.ends_with("symbols::table::tests::MARKED"), "{name}");
            assert_ne!(program.static_at(at(0) - 1), Some(name.clone()), "before its beginning");
            assert_ne!(program.static_at(at(2) + 8), Some(name), "behind its end");
            OWN.set(1);
            let symbols = Symbols::read("/proc/self/exe").expect("it can be read");
            let named = |offset: &u64| symbols.thread_local_at(*offset);
            let own = symbols.thread_locals.keys().filter_map(named);
            assert!(own.into_iter().any(|name| name.ends_with("symbols::table::tests::OWN")));
        }

        #[test]
        fn what_is_no_program_has_no_names() {
            assert!(Symbols::read("/dev/zero").is_none());
            assert!(Symbols::read("/proc/self/maps").is_none());
            assert!(Symbols::read("/nowhere").is_none());
        }

        #[test]
        fn tasks_have_their_futures_names() {
            for (function, name) in [
                ("tokio::runtime::task::raw::poll", "tokio"),
                (
                    "tokio::runtime::task::raw::poll::<app::serve::{closure#0}, alloc::sync::Arc<tokio::Handle>>",
                    "app::serve",
                ),
                (
                    "tokio::runtime::task::raw::poll::<<app::Server>::run::{closure#0}::{closure#1}, S>",
                    "app::Server::run",
                ),
                (
                    "tokio::runtime::task::raw::poll::<app::Wrap<(u8, u16)>, S>",
                    "app::Wrap<(u8, u16)>",
                ),
            ] {
                assert_eq!(task_name(function), name);
            }
        }

        #[test]
        fn names_are_those_of_the_source() {
            let name = |mangled| without_macros(demangled(mangled));
            let local = "_ZN2tl5LOCAL29_$u7b$$u7b$constant$u7d$$u7d$28_$u7b$$u7b$closure$u7d$$u7d$\
                         23__RUST_STD_INTERNAL_VAL17h0123456789abcdefE";
            assert_eq!(name(local), "tl::LOCAL");
            assert_eq!(name("_ZN3app8REGISTRY17h0123456789abcdefE"), "app::REGISTRY");
            assert_eq!(name("environ"), "environ");
        }
    }
}
