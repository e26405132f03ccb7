//! Reads memory: of this process, or of its frozen copy. It cannot fault: the kernel copies, and says how far it came.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// The bytes of a page. Larger pages are multiples of it.
pub(super) const PAGE: u64 = 4096;

/// Memory that can be read by words.
pub(super) trait Memory {
    /// Reads the words from `address` on, which is a multiple of 8, and returns how many there were.
    fn read(&self, address: u64, into: &mut [u64]) -> usize;

    /// Returns the first address from this one on where there may be anything but zeros, which are all that nobody touched.
    fn present_from(&self, address: u64) -> u64 {
        address
    }

    /// Reads two words at each address. `None` where there is nothing.
    fn pairs(&self, addresses: &[u64]) -> Vec<Option<[u64; 2]>> {
        let pair = |&address: &u64| {
            let mut pair = [0; 2];
            (self.read(address, &mut pair) == 2).then_some(pair)
        };
        addresses.iter().map(pair).collect()
    }
}

/// What a mapping of the address space is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) range: Range<u64>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) executable: bool,
    /// Whether other processes may write to it.
    pub(super) shared: bool,
    pub(super) offset: u64,
    /// Of a file, or a name in brackets; empty for anonymous memory.
    pub(super) name: String,
}

impl Region {
    pub(super) fn is_anonymous(&self) -> bool {
        self.name.is_empty() || self.name.starts_with("[anon")
    }

    pub(super) fn is_file(&self) -> bool {
        self.name.starts_with('/')
    }
}

/// Parses the text of `/proc/PID/maps`, one region a line. Lines of another form are left out.
pub(super) fn parse_maps(text: &str) -> Vec<Region> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Region> {
    // 55d4a7a00000-55d4a7a21000 rw-p 00000000 00:00 0          [heap]
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let flags = fields.next()?.as_bytes();
    let offset = fields.next()?;
    let name = fields.nth(2).unwrap_or("").trim();
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some(Region {
        range: hex(start)?..hex(end)?,
        readable: flags.first() == Some(&b'r'),
        writable: flags.get(1) == Some(&b'w'),
        executable: flags.get(2) == Some(&b'x'),
        shared: flags.get(3) == Some(&b's'),
        offset: hex(offset)?,
        name: name.to_owned(),
    })
}

/// The memory of a process.
///
/// By its file, where that can be opened: the other way, by `process_vm_readv`, pins each page, for which the kernel copies
/// those that a fork shares.
#[derive(Debug)]
pub(super) struct ProcessMemory {
    pid: libc::pid_t,
    file: Option<File>,
    /// Where there are no pages, in order.
    absent: Vec<Range<u64>>,
}

impl ProcessMemory {
    pub(super) fn of(pid: libc::pid_t) -> Self {
        Self { pid, file: File::open(format!("/proc/{pid}/mem")).ok(), absent: Vec::new() }
    }

    pub(super) fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Leaves out where there are no pages, in order.
    pub(super) fn leave_out(&mut self, absent: Vec<Range<u64>>) {
        self.absent = absent;
    }

    /// The process's mappings.
    pub(super) fn regions(&self) -> io::Result<Vec<Region>> {
        Ok(parse_maps(&std::fs::read_to_string(format!("/proc/{}/maps", self.pid))?))
    }

    /// Copies what is at `address`, and returns how many bytes were copied.
    fn copy(&self, address: u64, into: &mut [u64]) -> usize {
        let bytes = size_of_val(into);
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: bytes };
        let copied = match &self.file {
            // SAFETY: COPIED: the kernel writes at most so many bytes at `into`, which is borrowed, and any bytes are a value
            // of it.
            Some(file) => unsafe {
                libc::pread64(file.as_raw_fd(), local.iov_base, bytes, address as i64)
            },
            None => {
                let iov_base = std::ptr::without_provenance_mut(address as usize);
                let remote = libc::iovec { iov_base, iov_len: bytes };
                // SAFETY: COPIED: as above. The remote address is looked up, not dereferenced.
                unsafe { libc::process_vm_readv(self.pid, &local, 1, &remote, 1, 0) }
            }
        };
        usize::try_from(copied).unwrap_or(0)
    }
}

impl Memory for ProcessMemory {
    fn read(&self, address: u64, into: &mut [u64]) -> usize {
        self.copy(address, into) / 8
    }

    fn present_from(&self, address: u64) -> u64 {
        let at = self.absent.partition_point(|gap| gap.end <= address);
        match self.absent.get(at) {
            Some(gap) if gap.contains(&address) => gap.end,
            _ => address,
        }
    }
}

/// Takes `out` (sorted or not) out of a range, and returns what is left, in order.
pub(super) fn without(range: Range<u64>, out: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut out: Vec<_> =
        out.iter().filter(|out| out.start < range.end && out.end > range.start).collect();
    out.sort_unstable_by_key(|out| out.start);
    let mut left = Vec::new();
    let mut start = range.start;
    for out in out {
        if out.start > start {
            left.push(start..out.start);
        }
        start = start.max(out.end);
    }
    if start < range.end {
        left.push(start..range.end);
    }
    left
}

/// Ranges that are taken out of others. Of those it is made of there may be millions; those that are added are few.
#[derive(Debug)]
pub(super) struct Taken {
    /// In order, and apart.
    first: Vec<Range<u64>>,
    added: Vec<Range<u64>>,
}

impl Taken {
    pub(super) fn new(mut first: Vec<Range<u64>>) -> Self {
        first.sort_unstable_by_key(|range| range.start);
        first.dedup_by(|next, range| {
            let touches = next.start <= range.end;
            if touches {
                range.end = range.end.max(next.end);
            }
            touches
        });
        Self { first, added: Vec::new() }
    }

    pub(super) fn add(&mut self, range: Range<u64>) {
        self.added.push(range);
    }

    /// Those of the first that overlap a range.
    fn overlapping(&self, range: &Range<u64>) -> &[Range<u64>] {
        let from = self.first.partition_point(|taken| taken.end <= range.start);
        let to = self.first.partition_point(|taken| taken.start < range.end);
        self.first.get(from..to).unwrap_or_default()
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        !self.overlapping(&(address..address + 1)).is_empty()
            || self.added.iter().any(|taken| taken.contains(&address))
    }

    /// What is left of a range, in order.
    pub(super) fn rest_of(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut taken = self.overlapping(&range).to_vec();
        taken.extend_from_slice(&self.added);
        without(range, &taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_out_of_the_rest() {
        let mut taken = Taken::new(vec![50..60, 10..20, 55..70, 20..25, 200..300]);
        assert_eq!(taken.rest_of(0..100), [0..10, 25..50, 70..100]);
        taken.add(30..40);
        assert_eq!(taken.rest_of(12..80), [25..30, 40..50, 70..80]);
        assert_eq!(taken.rest_of(22..35), std::slice::from_ref(&(25..30)));
        assert_eq!(taken.rest_of(52..58), []);
        let inside: Vec<u64> = (0..400).filter(|&at| taken.contains(at)).collect();
        let all = (10..25).chain(30..40).chain(50..70).chain(200..300);
        assert_eq!(inside, all.collect::<Vec<_>>());
    }

    #[test]
    fn maps_are_parsed() {
        let text = "\
55d4a7a00000-55d4a7a21000 rw-p 00001000 08:01 42                         /usr/bin/a program (deleted)
7f0000000000-7f0000021000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00021000 ---p 00000000 00:00 0                          [stack]
nonsense
";
        let regions = parse_maps(text);
        assert_eq!(regions.len(), 3);
        assert_eq!(regions[0].name, "/usr/bin/a program (deleted)");
        assert_eq!(regions[0].offset, 0x1000);
        assert!(regions[0].is_file() && !regions[0].is_anonymous());
        assert!(regions[1].is_anonymous() && regions[1].writable && regions[1].readable);
        assert!(!regions[2].readable && !regions[2].writable);
        assert!(!regions[0].shared && !regions[0].executable);
        let text = "7f0000000000-7f0000001000 rwxs 00000000 00:01 7 /dev/zero (deleted)";
        assert!(parse_maps(text)[0].shared && parse_maps(text)[0].executable);
        assert_eq!(regions[2].range, 0x7ffc_0000_0000..0x7ffc_0002_1000);
    }

    #[test]
    fn what_is_taken_out_may_overlap() {
        assert_eq!(without(0..100, &[40..60, 10..20, 50..70, 200..300]), [0..10, 20..40, 70..100]);
        assert_eq!(without(0..100, &[0..40, 40..100]), []);
        assert_eq!(without(10..20, &[0..11, 15..16]), [11..15, 16..20]);
    }

    #[test]
    fn own_memory_is_read_and_what_is_not_there_is_said() {
        let words: Vec<u64> = (0..10_000).collect();
        let memory = ProcessMemory::of(std::process::id() as _);
        let mut copy = vec![0; words.len()];
        assert_eq!(memory.read(words.as_ptr().addr() as u64, &mut copy), words.len());
        assert_eq!(copy, words);
        assert_eq!(memory.read(4096, &mut copy), 0);
        let at = |index: usize| std::ptr::from_ref(&words[index]).addr() as u64;
        assert_eq!(memory.pairs(&[at(5), 4096, at(7)]), [Some([5, 6]), None, Some([7, 8])]);
    }
}
