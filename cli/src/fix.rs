//! `refscope fix`: swaps a package's imports of std's pointers, and applies the remedies for what
//! the compiler then says.
//!
//! The originals are kept below the target directory, so that `refscope fix --undo` brings them
//! back.

mod examples;
mod remedy;
mod report;
mod swap;

use remedy::{Diagnostic, Sources};
use report::Outcome;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use swap::{Edit, Types};

/// Most rounds of compiling and editing: each fixes at least one error.
const ROUNDS: usize = 40;

/// Swaps a package's imports of std's pointers to refscope's, and edits what does not compile then.
#[derive(clap::Args)]
pub(crate) struct Fix {
    /// The package's folder
    #[arg(default_value = ".")]
    package: PathBuf,
    /// Which pointers, each `Weak` with its own
    #[arg(long, value_delimiter = ',', default_value = "rc,arc", value_name = "TYPES")]
    types: Vec<Pointer>,
    /// Compiles as fully drop-in: with `RUSTC_BOOTSTRAP=refscope`
    #[arg(long)]
    drop_in: bool,
    /// Features of the package to compile with, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FEATURES")]
    features: Vec<String>,
    /// Compiles with all features of the package
    #[arg(long)]
    all_features: bool,
    /// Compiles without the package's default features
    #[arg(long)]
    no_default_features: bool,
    /// The refscope to depend on, as in Cargo.toml: a version, or `path=FOLDER`
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"), value_name = "VERSION")]
    refscope: String,
    /// Brings back what was there before
    #[arg(long, conflicts_with_all = ["drop_in", "refscope", "types"])]
    undo: bool,
    /// With --undo: also files that were changed since
    #[arg(long, requires = "undo")]
    force: bool,
    /// Does not show the diff
    #[arg(long)]
    quiet: bool,
    /// Prints JSON, one line: what was changed, where, and what is left; or what was undone
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Pointer {
    Rc,
    Arc,
    Box,
}

/// What Cargo says of the package.
struct Package {
    root: PathBuf,
    /// The folder of its workspace, by which the compiler names files.
    workspace: PathBuf,
    /// What Cargo builds, which may be below the root without a mark.
    target: PathBuf,
    /// Where the originals are kept.
    backup: PathBuf,
    edition_2015: bool,
    library: bool,
    /// Whether Cargo tests the examples of its documentation.
    has_examples: bool,
}

impl Package {
    fn find(folder: &Path) -> io::Result<Self> {
        let manifest = folder.join("Cargo.toml").canonicalize()?;
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .stderr(Stdio::inherit())
            .output()?;
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let own =
            metadata["packages"].as_array().into_iter().flatten().find(|package| {
                package["manifest_path"].as_str().map(Path::new) == Some(&manifest)
            });
        let own =
            own.ok_or_else(|| io::Error::other(format!("{} has no package", manifest.display())))?;
        let target = metadata["target_directory"].as_str().unwrap_or("target");
        let targets = &own["targets"];
        let name = own["name"].as_str().unwrap_or_default();
        let root = manifest.parent().map(Path::to_owned).unwrap_or_default();
        // Copies of a package may share a target directory.
        let mut hasher = DefaultHasher::new();
        root.hash(&mut hasher);
        let folder = format!("{name}-{:016x}", hasher.finish());
        Ok(Self {
            workspace: metadata["workspace_root"].as_str().map_or(root.clone(), PathBuf::from),
            root,
            target: target.into(),
            backup: Path::new(target).join("refscope-fix").join(folder),
            edition_2015: own["edition"] == "2015",
            library: targets.to_string().contains("lib\""),
            // Cargo tests the examples only of libraries that want it, unless it is told to.
            has_examples: targets
                .as_array()
                .is_some_and(|targets| targets.iter().any(|target| target["doctest"] == true)),
        })
    }

    /// The package's own source files.
    fn sources(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                if kind.is_dir() {
                    let hidden = entry.file_name().to_string_lossy().starts_with('.');
                    // Build output, and packages of their own.
                    let foreign = path == self.target
                        || path.join("CACHEDIR.TAG").exists()
                        || path.join("Cargo.toml").exists();
                    if !hidden && !foreign {
                        folders.push(path);
                    }
                } else if kind.is_file()
                    && is_rust(&path)
                    && path.file_name().is_some_and(|name| name != "build.rs")
                {
                    files.push(path);
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The files as they were, and as they are to be.
struct Files {
    before: BTreeMap<PathBuf, String>,
    after: BTreeMap<PathBuf, String>,
}

impl Files {
    fn set(&mut self, path: PathBuf, text: String) -> io::Result<()> {
        if self.after.get(&path) == Some(&text) {
            return Ok(());
        }
        // The original is safe before its file is overwritten: see `keep`.
        fs::write(&path, &text)?;
        self.after.insert(path, text);
        Ok(())
    }

    /// Applies edits. Returns how many there were.
    fn apply(&mut self, edits: BTreeMap<PathBuf, Vec<Edit>>) -> io::Result<usize> {
        let mut count = 0;
        for (path, edits) in edits {
            let Some(text) = self.after.get(&path) else { continue };
            let (text, some) = swap::apply(text, edits);
            count += some;
            self.set(path, text)?;
        }
        Ok(count)
    }

    /// The source files as they are, by their paths in the package.
    fn sources(&self, package: &Package) -> Sources {
        let texts: BTreeMap<PathBuf, String> = (self.after.iter())
            .filter(|(path, _)| is_rust(path))
            .filter_map(|(path, text)| {
                Some((path.strip_prefix(&package.workspace).ok()?.to_owned(), text.clone()))
            })
            .collect();
        let aliases = texts.values().flat_map(|text| swap::pointer_aliases(text)).collect();
        Sources { shown: texts.clone(), texts, aliases }
    }

    fn changed(&self) -> impl Iterator<Item = (&PathBuf, &String, &String)> {
        self.before.iter().filter_map(|(path, before)| {
            let after = self.after.get(path)?;
            (after != before).then_some((path, before, after))
        })
    }
}

impl Fix {
    /// Runs the command. Returns whether the package compiles, the examples of its documentation as well.
    pub(crate) fn run(&self, out: &mut dyn Write) -> io::Result<bool> {
        let package = Package::find(&self.package)?;
        if self.undo {
            let undone = undo(&package, self.force)?;
            if self.json {
                writeln!(out, "{}", json!({ "refscope_fix": 1, "undone": undone }))?;
            } else {
                writeln!(out, "{} files are as they were", undone.len())?;
            }
            return Ok(true);
        }
        if package.backup.join("files.json").exists() {
            let text = "the package has been fixed already: `refscope fix --undo` brings the originals back";
            return Err(io::Error::other(text));
        }
        let mut files = Files { before: BTreeMap::new(), after: BTreeMap::new() };
        let manifest = package.root.join("Cargo.toml");
        let lock = package.workspace.join("Cargo.lock");
        for path in package
            .sources()?
            .into_iter()
            .chain([manifest.clone()])
            .chain(lock.exists().then_some(lock))
        {
            // What is not text is no source.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            files.before.insert(path, text);
        }
        files.after = files.before.clone();
        keep(&package, &files, true)?;
        let result = self.fix(&package, &manifest, &mut files);
        keep(&package, &files, false)?;
        let outcome = result?;
        if self.json {
            writeln!(out, "{}", outcome.json(&package, &files))?;
            return Ok(outcome.is_whole());
        }
        outcome.text(out)?;
        if !self.quiet {
            for (path, before, after) in files.changed() {
                let path = path.strip_prefix(&package.root).unwrap_or(path);
                report::diff(out, path, before, after)?;
            }
        }
        let count = files.changed().count();
        writeln!(
            out,
            "{count} files are changed; `refscope fix --undo` brings the originals back"
        )?;
        Ok(outcome.is_whole())
    }

    fn fix(&self, package: &Package, manifest: &Path, files: &mut Files) -> io::Result<Outcome> {
        let types = Types {
            rc: self.types.contains(&Pointer::Rc),
            arc: self.types.contains(&Pointer::Arc),
            boxed: self.types.contains(&Pointer::Box),
            edition_2015: package.edition_2015,
            aliases: (files.before.iter())
                .filter(|(path, _)| is_rust(path))
                .flat_map(|(_, source)| swap::aliases(source))
                .collect(),
        };
        let sources = files.before.clone().into_iter();
        let swapped: Vec<_> = sources
            .filter(|(path, _)| is_rust(path))
            .map(|(path, before)| (path, swap::swap(&before, &types), before))
            .collect();
        if swapped.iter().all(|(_, after, before)| after == before) {
            let text = "no file here imports these pointers from std, or names them by a path";
            return Err(io::Error::other(text));
        }
        for (path, mut after, _) in swapped {
            let root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
            if package.edition_2015 && root {
                after.push_str("extern crate refscope;\n");
            }
            files.set(path, after)?;
        }
        let text = files.before[manifest].trim_end();
        let is_ours = !text.contains("[dependencies.refscope]") && !text.contains("\nrefscope =");
        let mut features: BTreeSet<&str> = BTreeSet::new();
        if is_ours {
            files.set(manifest.to_owned(), self.depend(text, &features)?)?;
        }
        let (mut applied, mut left, mut round) = (0, usize::MAX, 0);
        loop {
            let (compiles, errors) = self.check(package)?;
            if compiles {
                let (edits, errors) = self.mend_examples(package, files)?;
                return Ok(Outcome { compiles, edits: applied + edits, rounds: round, errors });
            }
            if round == ROUNDS {
                return Ok(Outcome { compiles, edits: applied, rounds: round, errors });
            }
            let mut count = 0;
            let wanted: BTreeSet<_> = errors.iter().filter_map(Diagnostic::feature).collect();
            if is_ours && !wanted.is_subset(&features) {
                features.extend(wanted);
                let text = self.depend(files.before[manifest].trim_end(), &features)?;
                files.set(manifest.to_owned(), text)?;
                count += 1;
            }
            // What a `self` is decides what the code beside it needs.
            let receivers = errors.iter().filter(|error| error.is_of_receiver());
            let sources = files.sources(package);
            let mut edits = edits(package, &sources, receivers);
            if edits.is_empty() {
                edits = self::edits(package, &sources, errors.iter());
            }
            count += files.apply(edits)?;
            applied += count;
            if count == 0 || (round > 10 && errors.len() >= left) {
                return Ok(Outcome { compiles, edits: applied, rounds: round, errors });
            }
            left = errors.len();
            round += 1;
        }
    }

    /// Returns a manifest that depends on refscope, with these of its features.
    fn depend(&self, manifest: &str, features: &BTreeSet<&str>) -> io::Result<String> {
        let mut dependency = match self.refscope.split_once("path=") {
            Some((_, path)) => format!("path = {:?}\n", Path::new(path).canonicalize()?),
            None => format!("version = {:?}\n", self.refscope),
        };
        if !features.is_empty() {
            dependency.push_str(&format!("features = {:?}\n", Vec::from_iter(features)));
        }
        Ok(format!("{manifest}\n\n[dependencies.refscope]\n{dependency}"))
    }

    /// A command of Cargo's in the package, with the features that are wanted.
    fn cargo(&self, package: &Package, command: &str) -> Command {
        let mut cargo = cargo();
        cargo.arg(command).current_dir(&package.root).stdin(Stdio::null());
        if !self.features.is_empty() {
            cargo.args(["--features", &self.features.join(",")]);
        }
        if self.all_features {
            cargo.arg("--all-features");
        }
        if self.no_default_features {
            cargo.arg("--no-default-features");
        }
        if self.drop_in {
            cargo.env("RUSTC_BOOTSTRAP", "refscope");
        }
        cargo
    }

    /// Edits the examples of the documentation until they compile, and brings back as it was what no edit helps. Returns
    /// the edits, and the errors that are left.
    fn mend_examples(
        &self,
        package: &Package,
        files: &mut Files,
    ) -> io::Result<(usize, Vec<Diagnostic>)> {
        let has_examples = |text: &String| !swap::examples(text).is_empty();
        if !package.has_examples || !files.sources(package).texts.values().any(has_examples) {
            return Ok((0, Vec::new()));
        }
        let (mut applied, mut left, mut round) = (0, usize::MAX, 0);
        let mut failed: Vec<examples::Failed> = Vec::new();
        loop {
            let mut sources = files.sources(package);
            sources.shown = examples::shown(&sources);
            // Those of the files that have one that fails: all are compiled by the first round.
            let of_files = std::mem::take(&mut failed).into_iter().map(|failed| failed.file);
            failed = self.failed_examples(package, &sources, of_files.collect())?;
            let errors = failed.iter().flat_map(|failed| &failed.errors);
            let mut edits = if failed.len() < left || round < 4 {
                edits(package, &sources, errors)
            } else {
                BTreeMap::new()
            };
            round += 1;
            for (path, edits) in &mut edits {
                let file = path.strip_prefix(&package.workspace).unwrap_or(path);
                let shown = &sources.shown[file];
                let whole = std::mem::take(edits).into_iter();
                *edits =
                    whole.filter_map(|edit| examples::in_lines(edit, shown)).flatten().collect();
            }
            let count = files.apply(edits)?;
            applied += count;
            left = failed.len();
            if count > 0 {
                continue;
            }
            let failed = self.restore_examples(package, files, failed)?;
            return Ok((applied, failed.into_iter().flat_map(|failed| failed.errors).collect()));
        }
    }

    /// Brings back the examples that do not compile as they were, if more of them compile then. Returns those that do not.
    fn restore_examples(
        &self,
        package: &Package,
        files: &mut Files,
        failed: Vec<examples::Failed>,
    ) -> io::Result<Vec<examples::Failed>> {
        let swapped = files.after.clone();
        // The last first, since lines come and go.
        for failed in failed.iter().rev() {
            let path = package.workspace.join(&failed.file);
            let texts = files.before.get(&path).zip(files.after.get(&path));
            let text =
                texts.and_then(|(before, after)| examples::restored(before, after, failed.line));
            if let Some(text) = text {
                files.set(path, text)?;
            }
        }
        if files.after == swapped {
            return Ok(failed);
        }
        let of_files = failed.iter().map(|failed| failed.file.clone()).collect();
        let still = self.failed_examples(package, &files.sources(package), of_files)?;
        if still.len() < failed.len() {
            return Ok(still);
        }
        for (path, text) in swapped {
            files.set(path, text)?;
        }
        Ok(failed)
    }

    /// The examples of the documentation of these files, or of all, that do not compile. (What does is run: nothing else compiles them.)
    fn failed_examples(
        &self,
        package: &Package,
        sources: &Sources,
        of_files: BTreeSet<PathBuf>,
    ) -> io::Result<Vec<examples::Failed>> {
        let mut cargo = self.cargo(package, "test");
        cargo.args(["--doc", "--no-fail-fast", "--"]);
        // Of none: of all.
        cargo.args(of_files.iter().map(|file| format!("{} - ", file.display())));
        let output = cargo.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() && !text.contains("test result:") {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let mut failed = examples::failed(&text, sources);
        failed.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Ok(failed)
    }

    /// Compiles the package. Returns whether it succeeds, and the errors.
    fn check(&self, package: &Package) -> io::Result<(bool, Vec<Diagnostic>)> {
        let mut cargo = self.cargo(package, "check");
        // Without benches, many of which need a nightly toolchain.
        cargo.args(["--bins", "--examples", "--tests", "--keep-going"]);
        cargo.args(["--message-format", "json"]);
        if package.library {
            cargo.arg("--lib");
        }
        let output = cargo.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let errors: Vec<_> = text.lines().filter_map(Diagnostic::read).collect();
        if !output.status.success() && errors.is_empty() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok((output.status.success(), errors))
    }
}

/// The edits of each file by which errors are mended.
fn edits<'a>(
    package: &Package,
    sources: &Sources,
    errors: impl Iterator<Item = &'a Diagnostic>,
) -> BTreeMap<PathBuf, Vec<Edit>> {
    let mut edits: BTreeMap<PathBuf, Vec<Edit>> = BTreeMap::new();
    for error in errors {
        for (file, edit) in error.remedies(sources) {
            let of_file = edits.entry(package.workspace.join(file)).or_default();
            // Targets that share a file repeat its errors.
            if !of_file.contains(&edit) {
                of_file.push(edit);
            }
        }
    }
    edits
}

/// Keeps the originals, with the text that replaced each, below the target directory.
fn keep(package: &Package, files: &Files, all: bool) -> io::Result<()> {
    fs::create_dir_all(&package.backup)?;
    let entries: Vec<_> = (files.before.iter())
        .filter(|(path, before)| all || files.after.get(*path) != Some(before))
        .map(|(path, before)| json!({"path": path, "before": before, "after": files.after.get(path)}))
        .collect();
    if entries.is_empty() {
        return fs::remove_file(package.backup.join("files.json"));
    }
    // By a new file, so that there is always a whole one.
    let new = package.backup.join("files.json.new");
    fs::write(&new, serde_json::to_string(&entries)?)?;
    fs::rename(new, package.backup.join("files.json"))
}

/// Brings the originals back. Returns their files.
fn undo(package: &Package, force: bool) -> io::Result<Vec<PathBuf>> {
    let kept = package.backup.join("files.json");
    let Ok(text) = fs::read_to_string(&kept) else {
        return Err(io::Error::other("there is nothing to undo here"));
    };
    let entries: Vec<Value> = serde_json::from_str(&text)?;
    let text =
        |entry: &Value, name: &str| entry[name].as_str().map(str::to_owned).unwrap_or_default();
    let changed: Vec<_> = (entries.iter())
        .filter(|entry| {
            // Cargo keeps the lock file.
            let path = PathBuf::from(text(entry, "path"));
            let now = fs::read_to_string(&path).unwrap_or_default();
            !path.ends_with("Cargo.lock")
                && now != text(entry, "after")
                && now != text(entry, "before")
        })
        .map(|entry| text(entry, "path"))
        .collect();
    if !changed.is_empty() && !force {
        return Err(io::Error::other(format!(
            "changed since, so nothing is undone (--force overwrites them): {}",
            changed.join(", ")
        )));
    }
    let mut undone = Vec::new();
    for entry in &entries {
        let path = PathBuf::from(text(entry, "path"));
        fs::write(&path, text(entry, "before"))?;
        undone.push(path.strip_prefix(&package.root).map(Path::to_owned).unwrap_or(path));
    }
    fs::remove_file(kept)?;
    Ok(undone)
}
