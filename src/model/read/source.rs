//! Bytes that can be read anywhere, by several threads at once.

use std::fs::File;
use std::io;

/// Bytes that can be read anywhere.
pub(super) trait Source: Send + Sync {
    /// Reads from an offset on, as much as there is.
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<usize>;

    fn length(&self) -> io::Result<u64>;
}

impl Source for Vec<u8> {
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let bytes = to.len().min(self.len() - start);
        to[..bytes].copy_from_slice(&self[start..start + bytes]);
        Ok(bytes)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// A file, which is read and never mapped: one that is truncated meanwhile is a short one, and no signal.
impl Source for File {
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < to.len() {
            match read_some(self, offset + read as u64, &mut to[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(unix)]
fn read_some(file: &File, offset: u64, to: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, to, offset)
}

#[cfg(windows)]
fn read_some(file: &File, offset: u64, to: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, to, offset)
}

#[cfg(not(any(unix, windows)))]
fn read_some(mut file: &File, offset: u64, to: &mut [u8]) -> io::Result<usize> {
    use std::io::{Read as _, Seek as _, SeekFrom};

    // The file has one place, which all threads share.
    static PLACE: crate::lock::Mutex<()> = crate::lock::Mutex::new(());
    let _alone = PLACE.lock();
    file.seek(SeekFrom::Start(offset))?;
    file.read(to)
}
