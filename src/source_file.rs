//! Reads files of source code.
//!
//! Their names come from the compiler, from debug information, or from a recording, which may be anybody's invention: a
//! device has no end, and a pipe is waited for.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
#[cfg(feature = "stacks")]
use std::sync::OnceLock;

/// Larger files are no source that anyone wrote.
pub(crate) const MOST_BYTES: u64 = 4 << 20;

/// Returns the text of a regular file of a size that source files have.
pub(crate) fn read(path: &Path) -> Option<String> {
    // Opening a pipe may wait, and opening a device may do anything.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = open(path)?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

/// Returns whether a name is one of a file of Rust.
pub(crate) fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Returns the text of a source file that the compiler named in this process.
#[cfg(feature = "trace")]
pub(crate) fn text_of_this_process(file: &'static str) -> Option<String> {
    let (roots, built) = (with_workspace(&own_directories()), workspace_of_this_program());
    let roots: Vec<_> = roots.iter().chain(&built).collect();
    let file = Path::new(file);
    texts(file, true, &roots).chain(texts_as_built(file, true)).next()
}

/// Returns where this program's own files are looked for: the working directory, and the package's that cargo names.
pub(crate) fn own_directories() -> Vec<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    std::env::current_dir().ok().into_iter().chain(package).collect()
}

/// Returns the texts of the files that a name may stand for: any of them where this process names it (`is_ours`), else those of
/// Rust below the roots.
pub(crate) fn texts(
    path: &Path,
    is_ours: bool,
    roots: &[&PathBuf],
) -> impl Iterator<Item = String> {
    let itself = (is_ours && path.is_absolute()).then(|| path.to_path_buf());
    let below = roots.iter().filter(move |_| is_ours || is_rust(path)).filter_map(move |root| {
        // Where it really lies.
        let found = root.join(path).canonicalize().ok()?;
        let is_below = found.starts_with(root) && is_rust(&found);
        (is_ours || is_below).then_some(found)
    });
    itself.into_iter().chain(below).filter_map(|path| read(&path))
}

/// Returns the same of this program's own where Cargo's list of its files names it, and in the workspaces that its debug
/// information names, which are asked for last: that takes a while.
pub(crate) fn texts_as_built(path: &Path, is_ours: bool) -> impl Iterator<Item = String> {
    let listed = move || read(&is_ours.then(|| listed_for_this_program(path)).flatten()?);
    let roots = move || is_ours.then(workspaces_of_this_program).into_iter().flatten();
    let below =
        std::iter::once_with(roots).flatten().filter_map(move |root| read(&root.join(path)));
    std::iter::once_with(listed).flatten().chain(below)
}

/// Returns the file of that name in the list that Cargo writes beside a program: also of one whose target directory lies outside
/// of its workspace.
fn listed_for_this_program(path: &Path) -> Option<PathBuf> {
    listed(&read(&std::env::current_exe().ok()?.with_extension("d"))?, path)
}

/// Returns the file that the compiler called `path`, in a list `program: file file …`, if it can be no other: that name begins in
/// the workspace's root, which has the `Cargo.lock`.
fn listed(list: &str, path: &Path) -> Option<PathBuf> {
    const SPACE: &str = "\0";

    let (_, files) = list.lines().next()?.split_once(": ")?;
    let files = files.replace("\\ ", SPACE);
    let files = files.split(' ').map(|file| PathBuf::from(file.replace(SPACE, " ")));
    let parts = path.components().count();
    let is_it = |file: &PathBuf| {
        let root = file.ancestors().nth(parts);
        file.is_absolute()
            && file.ends_with(path)
            && root.is_some_and(|root| root.join("Cargo.lock").is_file())
    };
    let mut found = files.filter(|file| path.is_relative() && is_rust(file) && is_it(file));
    found.next().filter(|_| found.next().is_none())
}

/// Returns the directories, and those above that belong to the same workspace.
pub(crate) fn with_workspace(starts: &[PathBuf]) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for start in starts.iter().filter_map(|start| start.canonicalize().ok()) {
        for (above, folder) in start.ancestors().enumerate() {
            let in_workspace = above == 0 || folder.join("Cargo.toml").is_file();
            if in_workspace && !roots.iter().any(|root| root == folder) {
                roots.push(folder.to_path_buf());
            }
        }
    }
    roots
}

/// Returns the workspace that a program was built in: the folder above it with a `Cargo.toml`. The compiler was given paths that
/// begin there.
pub(crate) fn workspace_of(program: &Path) -> Option<PathBuf> {
    let above = program.ancestors().skip(1).find(|folder| folder.join("Cargo.toml").is_file())?;
    above.canonicalize().ok()
}

/// Returns the workspace that this program was built in, if it lies there still.
pub(crate) fn workspace_of_this_program() -> Option<PathBuf> {
    workspace_of(&std::env::current_exe().ok()?)
}

/// Returns the workspaces that this program was built in, as its debug information names them, wherever the program lies itself:
/// the compiler was given paths that begin there. None without the feature `stacks`.
#[cfg(feature = "stacks")]
pub(crate) fn workspaces_of_this_program() -> &'static [PathBuf] {
    static FOUND: OnceLock<Vec<PathBuf>> = OnceLock::new();

    match FOUND.get() {
        Some(found) => found,
        None => {
            // Two may look at once; neither waits while the other reads, for it may be gone, in a process that was forked.
            let found = by_debug_information().unwrap_or_default();
            FOUND.get_or_init(|| found)
        }
    }
}

#[cfg(not(feature = "stacks"))]
pub(crate) fn workspaces_of_this_program() -> &'static [PathBuf] {
    &[]
}

/// The directories of what was compiled with a path below it: of a crate from a registry, and of std, the path is absolute.
#[cfg(feature = "stacks")]
fn by_debug_information() -> Option<Vec<PathBuf>> {
    use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
    use object::{Object as _, ObjectSection as _};

    /// What has more is left alone: it would take long.
    const MOST_BYTES: u64 = 256 << 20;

    if cfg!(target_endian = "big") {
        return None;
    }
    let data = object::ReadCache::new(File::open(std::env::current_exe().ok()?).ok()?);
    let file = object::File::parse(&data).ok()?;
    let section = |id: addr2line::gimli::SectionId| {
        let section = file.section_by_name(id.name()).filter(|it| it.size() <= MOST_BYTES);
        // What is compressed is not what it says, and is not read.
        let is_plain = |it: &object::Section<'_, '_, _>| {
            it.compressed_file_range().is_ok_and(|it| it.format == object::CompressionFormat::None)
        };
        let bytes = section.filter(is_plain).and_then(|it| it.data().ok()).unwrap_or_default();
        Ok::<_, addr2line::gimli::Error>(EndianSlice::new(bytes, LittleEndian))
    };
    let dwarf = Dwarf::load(section).ok()?;
    let mut found = Vec::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let Ok(unit) = dwarf.unit(header) else { continue };
        let path = |text: EndianSlice<'_, _>| Some(PathBuf::from(text.to_string().ok()?));
        let Some(directory) = unit.comp_dir.and_then(path) else { continue };
        let is_below = unit.name.and_then(path).is_none_or(|name| name.is_relative());
        if is_below && directory.is_absolute() && !found.contains(&directory) {
            found.push(directory);
        }
    }
    found.retain(|directory| directory.join("Cargo.toml").is_file());
    Some(found)
}

fn open(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(all(unix, any(feature = "trace", feature = "json")))]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        // In case it became a pipe since it was looked at.
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path).ok()
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::listed;
    use std::path::Path;

    #[test]
    fn a_listed_file_is_that_of_the_workspace() {
        let folder = std::env::temp_dir().join(format!("refscope listed {}", std::process::id()));
        for lock in ["one", "two"] {
            std::fs::create_dir_all(folder.join(lock)).unwrap();
            std::fs::write(folder.join(lock).join("Cargo.lock"), "").unwrap();
        }
        let file = |name: &str| folder.join(name).display().to_string();
        let names = ["one/src/main.rs", "one/app/src/lib.rs", "two/src/lib.rs", "two/src/both.rs"];
        let mut list = "/elsewhere/target/debug/program:".to_owned();
        for name in names.into_iter().chain(["one/src/both.rs", "one/app/src/main.rs"]) {
            list.push_str(&format!(" {}", file(name).replace(' ', "\\ ")));
        }
        let find = |path: &str| listed(&list, Path::new(path)).map(|it| it.display().to_string());
        // A member's file has the member's folder in its name.
        assert_eq!(find("src/main.rs"), Some(file("one/src/main.rs")));
        assert_eq!(find("app/src/lib.rs"), Some(file("one/app/src/lib.rs")));
        assert_eq!(find("src/lib.rs"), Some(file("two/src/lib.rs")));
        // Two have it; none has it; no name of a file in a workspace.
        for path in ["src/both.rs", "src/none.rs", "main.rs", "/src/main.rs"] {
            assert_eq!(find(path), None, "{path}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
