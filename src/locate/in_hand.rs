//! Handles that a thread was making or ending when it was stopped: it has the place in a register, and no word of the memory
//! is the ticket, which is made of the place's address later, or was taken apart already.

use super::memory::Memory;
use super::scan::{Area, AreaKind, PLACE, Scanned, Tickets};

/// Returns the handles that were not found, but whose place another thread has on its stack, which does not wait in the kernel:
/// none is made or ended there. The word may be an old one: it says no more than that the handle may be there.
pub(super) fn find(
    memory: &impl Memory,
    (areas, waiting): (&[Area], &[bool]),
    tickets: &Tickets<'_>,
    found: &Scanned,
) -> Vec<u32> {
    let mut words: Vec<u64> = Vec::new();
    let mut window = vec![0; 1 << 10];
    for area in areas {
        // The first thread is the one that searches.
        let AreaKind::Stack(thread @ 1..) = area.kind else { continue };
        if waiting.get(thread) == Some(&true) {
            continue;
        }
        let mut address = area.range.start;
        while address < area.range.end {
            let left = ((area.range.end - address) / 8).min(window.len() as u64) as usize;
            let read = memory.read(address, &mut window[..left]);
            words.extend(window[..read].iter().filter(|&&word| tickets.is_place(word)));
            // What cannot be read is counted by the scan.
            address += 8 * read.max(1) as u64;
        }
    }
    if words.is_empty() {
        return Vec::new();
    }
    words.sort_unstable();
    let mut seen = vec![false; tickets.handles().len()];
    found.sightings.iter().for_each(|sighting| seen[sighting.handle() as usize] = true);
    let handles = (0..).zip(tickets.handles().iter().zip(seen));
    let in_hand = handles.filter(|(_, (handle, seen))| {
        !seen && words.binary_search(&(handle.word() & PLACE)).is_ok()
    });
    in_hand.map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::super::inputs::HandleInput;
    use super::super::made_up::MadeUp;
    use super::super::scan::{Sighting, Source};
    use super::*;
    use crate::runtime::entry::scrambled;

    #[test]
    fn a_place_on_another_threads_stack_is_a_handle_that_is_nowhere_else() {
        let ticket = |place: u64| scrambled(1 << 63 | 3 << 48 | place);
        let handle = |place: u64, number| HandleInput {
            ticket: ticket(place),
            number,
            object: 0,
            strong: true,
            raw: false,
        };
        let handles = [handle(0x6000_0000_0040, 1), handle(0x6000_0000_0080, 2)];
        let words = vec![7, 0x6000_0000_0040, 0x6000_0000_0080, 0x6000_0000_00c0];
        let memory = MadeUp { start: 0x7f00_0000_0000, words };
        let tickets = Tickets::new(&handles, false);
        let range = memory.start..memory.start + 32;
        let found = |thread, seen: &[u32]| {
            let areas = [Area { range: range.clone(), kind: AreaKind::Stack(thread) }];
            let sighting = |&handle| Sighting::new(8, handle, Source::block(0), [true, false]);
            let sightings = seen.iter().map(sighting).collect();
            find(
                &memory,
                (&areas, &[false, false, true]),
                &tickets,
                &Scanned { sightings, ..Scanned::default() },
            )
        };
        assert_eq!(found(1, &[]), [0, 1]);
        assert_eq!(found(1, &[0]), [1], "what is found elsewhere is there");
        assert_eq!(found(2, &[]), [0_u32; 0], "it waits in the kernel");
        assert_eq!(found(0, &[]), [0_u32; 0], "the thread that searches makes no handle meanwhile");
    }
}
