//! Reads a source file without an allocation and without a lock: a handle may be made on a new line in a signal's handler that
//! interrupted either.
//!
//! The rules are those of [`read_source`](super::location::read_source): a regular file of some megabytes at most, looked for
//! in the working directory, the one of the package that cargo names, the executable's, and what is above each.

use crate::source_file::MOST_BYTES;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStringExt;
use std::ptr::NonNull;
use std::sync::OnceLock;

/// The package that cargo names, as it was when the first object was made: the environment has a lock.
static PACKAGE: OnceLock<Vec<u8>> = OnceLock::new();

/// Asks for what a handler cannot ask for.
pub(crate) fn prepare() {
    PACKAGE.get_or_init(|| {
        std::env::var_os("CARGO_MANIFEST_DIR").map(OsStringExt::into_vec).unwrap_or_default()
    });
}

/// A root of paths and what is above it, as many in all.
pub(super) const DEPTH: usize = 5;
/// A path, and the 0 that ends it.
const PATH: usize = libc::PATH_MAX as usize;

/// Gives the text of a source file, as a location names it, to `f`.
pub(super) fn with_source<R>(file: &str, f: impl FnOnce(&str) -> R) -> Option<R> {
    let _errno = Errno::keep();
    let file = file.as_bytes();
    let text = if file.starts_with(b"/") { Text::read(&[file]) } else { Text::find(file) }?;
    Some(f(std::str::from_utf8(text.bytes()).ok()?))
}

/// A directory and what is above it.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    fn above<'a>(path: &&'a [u8]) -> Option<&'a [u8]> {
        path.iter().rposition(|&byte| byte == b'/').map(|at| &path[..at])
    }
    let some = Some(path).filter(|path| !path.is_empty());
    std::iter::successors(some, above).take(DEPTH)
}

/// The program's file.
fn executable(path: &mut [u8; PATH]) -> &[u8] {
    // SAFETY: SOURCE: the path ends in 0, and so much of the memory is written at the most.
    let len = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), path.as_mut_ptr().cast(), PATH) };
    &path[..usize::try_from(len).unwrap_or(0)]
}

/// The bytes of a file, in memory of its own.
struct Text {
    memory: NonNull<u8>,
    len: usize,
}

impl Text {
    fn find(file: &[u8]) -> Option<Self> {
        let up: &[u8] = b"../";
        let parts = [up, up, up, up, file];
        let mut above = (1..=DEPTH).map(|count| &parts[DEPTH - count..]);
        above.find_map(Self::read).or_else(|| {
            let mut memory = [0; PATH];
            let package = PACKAGE.get().map_or(&[][..], |package| package);
            let mut roots = ancestors(package).chain(ancestors(executable(&mut memory)));
            roots.find_map(|root| Self::read(&[root, b"/", file]))
        })
    }

    /// Reads the file whose path is made of these parts.
    fn read(parts: &[&[u8]]) -> Option<Self> {
        let mut path = [0_u8; PATH];
        let mut len = 0;
        for part in parts {
            // One byte is left for the 0.
            path.get_mut(len..len + part.len())
                .filter(|_| len + part.len() < PATH)?
                .copy_from_slice(part);
            len += part.len();
        }
        let path = path.as_ptr().cast();
        // Opening a pipe may wait, and opening a device may do anything.
        // SAFETY: SOURCE: the path ends in 0.
        size(|stat| unsafe { libc::stat(path, stat) })?;
        // SAFETY: SOURCE: as above.
        let fd = unsafe { libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) };
        if fd < 0 {
            return None;
        }
        let text = Self::of(fd);
        // SAFETY: SOURCE: it was opened above.
        unsafe { libc::close(fd) };
        text
    }

    fn of(fd: c_int) -> Option<Self> {
        // SAFETY: SOURCE: no path is given.
        let size = size(|stat| unsafe { libc::fstat(fd, stat) }).filter(|&size| size > 0)?;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // Not the file: where somebody cuts it, to read it would be a signal.
        // SAFETY: SOURCE: memory of nobody's is asked for.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, rights, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return None;
        }
        let text = Self { memory: NonNull::new(memory.cast())?, len: size };
        let mut read = 0;
        while read < size {
            // SAFETY: SOURCE: inside of what was mapped.
            let rest = unsafe { text.memory.add(read) };
            // SAFETY: SOURCE: so much is left.
            match unsafe { libc::read(fd, rest.as_ptr().cast(), size - read) } {
                // It was cut meanwhile: zeros are no text of Rust's, and are not looked at.
                ..=0 => break,
                more => read += more as usize,
            }
        }
        Some(text)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: SOURCE: so much was mapped, and is written by nobody any more.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: SOURCE: it was mapped by `of`, and nobody refers to it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.len) };
    }
}

/// The size of a regular file that source may be in.
fn size(stat: impl FnOnce(*mut libc::stat) -> c_int) -> Option<usize> {
    let mut file = MaybeUninit::<libc::stat>::zeroed();
    if stat(file.as_mut_ptr()) != 0 {
        return None;
    }
    // SAFETY: SOURCE: it was written.
    let file = unsafe { file.assume_init() };
    let is_regular = file.st_mode & libc::S_IFMT == libc::S_IFREG;
    usize::try_from(file.st_size).ok().filter(|&size| is_regular && size as u64 <= MOST_BYTES)
}

/// Keeps what the last call of libc's that failed said: the interrupted program may be about to ask for it.
struct Errno(c_int);

impl Errno {
    fn keep() -> Self {
        Self(Self::with(|errno| *errno))
    }

    fn with<R>(f: impl FnOnce(&mut c_int) -> R) -> R {
        // SAFETY: ERRNO: it returns where this thread's own is, which is there as long as the thread.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: ERRNO: nothing else refers to it at this moment.
        f(unsafe { &mut *errno })
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        Self::with(|errno| *errno = self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::{ancestors, with_source};
    use crate::stack::location::read_source;

    #[test]
    fn finds_what_is_found_with_an_allocator() {
        let here = std::env::current_dir().expect("a directory");
        let absolute = here.join("src/lib.rs").display().to_string();
        for file in
            ["src/stack/source.rs", "src/lib.rs", &absolute, "no/such/file.rs", "src", "/dev/zero"]
        {
            let other = with_source(file, str::to_owned);
            assert_eq!(other, read_source(file), "{file}");
        }
        assert_eq!(with_source(&"x".repeat(10_000), |_| ()), None);
    }

    #[test]
    fn a_failing_call_changes_no_error() {
        // SAFETY: SOURCE: the path ends in 0, and no such file is there.
        let fd = unsafe { libc::open(c"/".as_ptr(), libc::O_WRONLY) };
        let before = std::io::Error::last_os_error().raw_os_error();
        assert_eq!(with_source("no/such/file.rs", |_| ()), None);
        assert_eq!((fd, std::io::Error::last_os_error().raw_os_error()), (-1, before));
        assert_eq!(before, Some(libc::EISDIR));
    }

    #[test]
    fn directories_and_what_is_above() {
        let all = |path: &'static str| {
            let all =
                ancestors(path.as_bytes()).map(|path| std::str::from_utf8(path).expect("text"));
            all.collect::<Vec<_>>()
        };
        assert_eq!(all("/a/b"), ["/a/b", "/a", ""]);
        assert_eq!(all("/a/b/c/d/e/f").len(), 5);
        assert_eq!(all(""), [""; 0]);
    }
}
