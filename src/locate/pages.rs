//! Which memory nobody ever touched: it is not read, since it has nothing.
//!
//! `/proc/PID/pagemap` says of each page whether there is one, in memory or swapped out. Only private anonymous memory is asked
//! about: what a file or other processes have is there though this process has no page of it. A fork copies the entries of all
//! that has data, so that a page which the copy shares with its parent counts as there. The zero page, which a read brings, may
//! count or not.

use super::memory::{PAGE, Region};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// Smaller regions are read in less time than they are asked about.
const LEAST: u64 = 1 << 20;
/// Gaps that are noted: so many pages or more.
const GAP: u64 = 16;

/// The highest byte of an entry: bit 63 says that the page is in memory, bit 62 that it is swapped out.
const IS_THERE: u8 = 0b1100_0000;

/// Returns the memory of a process in which there are no pages, in order. `present` is an address that has one: where its entry
/// does not say so, none is believed.
pub(super) fn absent(
    pid: libc::pid_t,
    regions: &[Region],
    present: u64,
    until: Instant,
) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    // An entry is one of the system's pages.
    if crate::primitive::page_bytes() as u64 != PAGE {
        return gaps;
    }
    let Ok(file) = File::open(format!("/proc/{pid}/pagemap")) else { return gaps };
    let mut entry = [0; 8];
    let read = file.read_exact_at(&mut entry, present / PAGE * 8);
    if read.is_err() || entry[7] & IS_THERE == 0 {
        return gaps;
    }
    let mut entries = vec![0; 1 << 16];
    for region in regions.iter().filter(|region| is_asked_about(region)) {
        let mut gap = region.range.start..region.range.start;
        let mut at = region.range.start;
        'region: while at < region.range.end {
            let left = ((region.range.end - at) / PAGE * 8) as usize;
            let length = left.min(entries.len());
            let read = match file.read_at(&mut entries[..length], at / PAGE * 8) {
                Ok(read) if read >= 8 && Instant::now() < until => read,
                // What is not known is read.
                _ => break 'region,
            };
            for entry in entries[..read].chunks_exact(8) {
                if entry[7] & IS_THERE != 0 {
                    note(&mut gaps, gap);
                    gap = at + PAGE..at + PAGE;
                } else {
                    gap.end = at + PAGE;
                }
                at += PAGE;
            }
        }
        note(&mut gaps, gap);
    }
    gaps
}

fn note(gaps: &mut Vec<Range<u64>>, gap: Range<u64>) {
    if gap.end - gap.start >= GAP * PAGE {
        gaps.push(gap);
    }
}

fn is_asked_about(region: &Region) -> bool {
    let is_private = region.name.is_empty() || region.name.starts_with("[anon:");
    let is_aligned = region.range.start.is_multiple_of(PAGE);
    is_private
        && is_aligned
        && region.readable
        && !region.shared
        && region.range.end - region.range.start >= LEAST
}

#[cfg(test)]
mod tests {
    use super::super::fork::Frozen;
    use super::super::memory::{Memory, ProcessMemory};
    use super::*;
    use std::time::Duration;

    const ROOM: usize = 64 << 20;

    fn map(flags: i32) -> *mut u8 {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = flags | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: SYSCALL: new memory.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), ROOM, access, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        at.cast()
    }

    /// Of the process and of its copy: each page with data is read, be it small, part of a large one, or shared memory's; and of
    /// what nobody touched nearly nothing.
    #[test]
    fn what_has_data_is_there() {
        const PAGES: usize = ROOM / PAGE as usize;
        let [small, large, shared] =
            [libc::MAP_PRIVATE, libc::MAP_PRIVATE, libc::MAP_SHARED].map(map);
        // SAFETY: SYSCALL: the test's own memory.
        unsafe { libc::madvise(large.cast(), ROOM, libc::MADV_HUGEPAGE) };
        let word = |start: *mut u8, page: usize| start.wrapping_add(PAGE as usize * page + 16);
        let mut data = Vec::new();
        for (start, pages) in [(small, 37), (large, 1_601), (shared, 97)] {
            for page in (1..PAGES / 2).step_by(pages) {
                // SAFETY: COPIED: within the mapping, and aligned.
                unsafe { word(start, page).cast::<u64>().write_volatile(page as u64) };
                data.push((word(start, page).addr() as u64, page as u64));
            }
            for page in (PAGES / 2..PAGES * 5 / 8).step_by(7) {
                // SAFETY: COPIED: as above.
                assert_eq!(unsafe { word(start, page).cast::<u64>().read_volatile() }, 0);
            }
        }
        let own = std::process::id() as libc::pid_t;
        let frozen = Frozen::new().unwrap();
        for pid in [own, frozen.pid()] {
            let mut memory = ProcessMemory::of(pid);
            let regions = memory.regions().unwrap();
            let present = std::ptr::from_ref(&data).addr() as u64;
            let gaps = absent(pid, &regions, present, Instant::now() + Duration::from_secs(60));
            let skipped = |start: *mut u8| {
                let start = start.addr() as u64;
                let range = start..start + ROOM as u64;
                let within = gaps
                    .iter()
                    .map(|gap| gap.end.min(range.end).saturating_sub(gap.start.max(range.start)));
                within.sum::<u64>()
            };
            assert!(skipped(small) >= ROOM as u64 / 4, "{}", skipped(small));
            assert_eq!(skipped(shared), 0, "others may have what this process has not");
            memory.leave_out(gaps);
            for &(address, value) in &data {
                assert_eq!(memory.present_from(address), address);
                let mut read = [7];
                assert_eq!((memory.read(address, &mut read), read), (1, [value]));
            }
            assert!(
                absent(pid, &regions, 4096, Instant::now() + Duration::from_secs(60)).is_empty()
            );
        }
    }
}
