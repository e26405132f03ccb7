//! Parts of a file as memory: reserved on the disk first, so that no write to the memory can fail.

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
}

// SAFETY: MAPPED: the memory is the mapping's own, and is read and written as atomics.
unsafe impl Send for Mapped {}
// SAFETY: MAPPED: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps a part of a file that is [reserved](reserve): both numbers are multiples of a page.
    pub(super) fn new(file: &File, offset: u64, bytes: usize) -> io::Result<Self> {
        let offset = offset.try_into().map_err(|_| too_large())?;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: MAPPED: new memory is asked for, and none of the program's is touched.
        let start = unsafe {
            libc::mmap(null_mut(), bytes, rights, libc::MAP_SHARED, file.as_raw_fd(), offset)
        };
        match NonNull::new(start.cast::<u8>()).filter(|_| start != libc::MAP_FAILED) {
            Some(start) => Ok(Self { start, bytes }),
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
            // SAFETY: MAPPED: the part lies in the mapping.
            let part = unsafe { self.start.as_ptr().add(at) };
            // SAFETY: MAPPED: as above; the bytes stay as they are. A system that does not know it says so.
            unsafe { libc::madvise(part.cast(), bytes, POPULATE_WRITE) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (at, bytes, self.bytes);
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: MAPPED: so much was mapped there, and nobody refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
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
