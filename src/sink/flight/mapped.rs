//! Parts of a file as memory: reserved on the disk first, so that no write to the memory can fail.

use crate::primitive::page_bytes;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr::{NonNull, null_mut};

/// `MADV_POPULATE_WRITE`, which the oldest libc that is accepted does not name.
#[cfg(target_os = "linux")]
const POPULATE_WRITE: libc::c_int = 23;

/// A part of a file, mapped. What is written to it is the file's, whatever becomes of the process.
#[derive(Debug)]
pub(super) struct Mapped {
    start: NonNull<u8>,
    bytes: usize,
    /// The mapping's bytes before it: a mapping begins with a page, which may be larger than a block.
    before: usize,
}

// SAFETY: MAPPED: the memory is the mapping's own, and is read and written as atomics.
unsafe impl Send for Mapped {}
// SAFETY: MAPPED: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps a part of a file that is [reserved](reserve).
    pub(super) fn new(file: &File, offset: u64, bytes: usize) -> io::Result<Self> {
        Self::by_pages(file, offset, bytes, page_bytes())
    }

    fn by_pages(file: &File, offset: u64, bytes: usize, page: usize) -> io::Result<Self> {
        let before = offset % page as u64;
        let first = (offset - before).try_into().map_err(|_| too_large())?;
        let before = before as usize;
        let (all, rights) = (before + bytes, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: MAPPED: new memory is asked for, and none of the program's is touched.
        let mapping = unsafe {
            libc::mmap(null_mut(), all, rights, libc::MAP_SHARED, file.as_raw_fd(), first)
        };
        match NonNull::new(mapping.cast::<u8>()).filter(|_| mapping != libc::MAP_FAILED) {
            // SAFETY: MAPPED: so many bytes are mapped before it.
            Some(mapping) => Ok(Self { start: unsafe { mapping.add(before) }, bytes, before }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// Where it begins.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Has the system provide pages of it that will be written soon, all in one.
    pub(super) fn populate(&self, at: usize, bytes: usize) {
        #[cfg(target_os = "linux")]
        {
            debug_assert!(at + bytes <= self.bytes);
            // From the beginning of its first page, which the mapping has.
            let before = (self.before + at) % page_bytes();
            let bytes = before + bytes;
            // SAFETY: MAPPED: the part lies in the mapping.
            let part = unsafe { self.start.as_ptr().add(at) };
            // SAFETY: MAPPED: and so does the page that it begins in.
            let part = unsafe { part.sub(before) };
            // SAFETY: MAPPED: as above; the bytes stay as they are. A system that does not know it says so.
            unsafe { libc::madvise(part.cast(), bytes, POPULATE_WRITE) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (at, bytes, self.bytes);
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: MAPPED: so many bytes are mapped before it.
        let mapping = unsafe { self.start.as_ptr().sub(self.before) };
        // SAFETY: MAPPED: so much was mapped there, and nobody refers to it any more.
        unsafe { libc::munmap(mapping.cast(), self.before + self.bytes) };
    }
}

fn too_large() -> io::Error {
    io::ErrorKind::FileTooLarge.into()
}

/// Has the disk keep room for a part of a file, which grows to its end if it was shorter. A page that is mapped and has
/// none would end the process by a signal when it is written.
pub(super) fn reserve(file: &mut File, offset: u64, bytes: usize) -> io::Result<()> {
    let end = offset + bytes as u64;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: LIMIT: it writes the limit that it is given.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) } == 0;
    // To ask for more would send a signal that ends the process.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)] // its type is the platform's
    if known && limit.rlim_cur != libc::RLIM_INFINITY && end > limit.rlim_cur as u64 {
        return Err(too_large());
    }
    allocate(file, offset, bytes)
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn allocate(file: &mut File, offset: u64, bytes: usize) -> io::Result<()> {
    let start = offset.try_into().map_err(|_| too_large())?;
    let length = bytes.try_into().map_err(|_| too_large())?;
    loop {
        // SAFETY: MAPPED: it takes numbers, of which the first is an open file's.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), start, length) } {
            0 => return Ok(()),
            libc::EINTR => {}
            libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS => {
                return write_zeros(file, offset, bytes);
            }
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn allocate(file: &mut File, offset: u64, bytes: usize) -> io::Result<()> {
    write_zeros(file, offset, bytes)
}

/// What a file system gets that cannot reserve.
fn write_zeros(file: &mut File, offset: u64, bytes: usize) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom};

    file.seek(SeekFrom::Start(offset))?;
    crate::event::write::write_all(file, &vec![0; bytes])
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// Where pages are larger than blocks, a part that begins within a page is mapped from that page's beginning.
    #[test]
    fn a_part_may_begin_within_a_page() {
        const BLOCK: usize = 16 << 10;
        const PAGE: usize = 64 << 10;
        let path = std::env::temp_dir().join(format!("refscope-pages-{}", std::process::id()));
        let mut options = File::options();
        let mut file =
            options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        // The head, and the steps by which a file grows; one block at a time where the disk is full.
        let mut parts = Vec::new();
        let mut at = 0;
        for blocks in [1, 16, 32, 1, 1, 1, 3] {
            let (offset, bytes) = ((at * BLOCK) as u64, blocks * BLOCK);
            reserve(&mut file, offset, bytes).unwrap();
            let part = Mapped::by_pages(&file, offset, bytes, PAGE).unwrap();
            assert_eq!(part.before, at * BLOCK % PAGE);
            parts.push((at, blocks, part));
            at += blocks;
        }
        for (at, blocks, part) in &parts {
            part.populate(0, blocks * BLOCK);
            for block in 0..*blocks {
                // SAFETY: MAPPED: the part has so many blocks.
                let start = unsafe { part.start().add(block * BLOCK) };
                // SAFETY: MAPPED: as above, and nobody else refers to it.
                unsafe { start.as_ptr().write_bytes((at + block + 1) as u8, BLOCK) };
            }
        }
        drop(parts);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), at * BLOCK);
        for (number, block) in bytes.chunks(BLOCK).enumerate() {
            assert!(block.iter().all(|&byte| usize::from(byte) == number + 1), "block {number}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
