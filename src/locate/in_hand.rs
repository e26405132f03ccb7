//! Handles that a thread was making or ending when it was stopped: it has the place in a register, and no word of the memory
//! is the ticket, which is made of the place's address later, or was taken apart already.

use super::memory::Memory;
use super::scan::{Area, AreaKind, PLACE, Scanned, Sighting, Source, Tickets};

/// Adds, of each handle that was not found, the word on another thread's stack that is its place. That may be an old one: such
/// a sighting is not a whole handle, and proves nothing.
pub(super) fn add(
    memory: &impl Memory,
    areas: &[Area],
    tickets: &Tickets<'_>,
    found: &mut Scanned,
) {
    let mut words: Vec<(u64, u64, usize)> = Vec::new();
    let mut window = vec![0; 1 << 10];
    for (area, at) in areas.iter().enumerate() {
        // The first thread is the one that searches.
        let AreaKind::Stack(1..) = at.kind else { continue };
        let mut address = at.range.start;
        while address < at.range.end {
            let left = ((at.range.end - address) / 8).min(window.len() as u64) as usize;
            let read = memory.read(address, &mut window[..left]);
            let places = window[..read].iter().zip((address..).step_by(8));
            let places = places.filter(|&(&word, _)| tickets.is_place(word));
            words.extend(places.map(|(&word, address)| (word, address, area)));
            // What cannot be read is counted by the scan.
            address += 8 * read.max(1) as u64;
        }
    }
    if words.is_empty() {
        return;
    }
    words.sort_unstable();
    let mut seen = vec![false; tickets.handles().len()];
    found.sightings.iter().for_each(|sighting| seen[sighting.handle() as usize] = true);
    for (handle, seen) in seen.into_iter().enumerate() {
        let place = tickets.handles()[handle].word() & PLACE;
        let at = words.partition_point(|&(word, ..)| word < place);
        if let Some(&(word, address, area)) = words.get(at).filter(|_| !seen)
            && word == place
        {
            let sighting = Sighting::new(address, handle as u32, Source::area(area), false);
            found.sightings.push(sighting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::inputs::HandleInput;
    use super::super::made_up::MadeUp;
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
            let sighting = |&handle| Sighting::new(8, handle, Source::block(0), true);
            let mut found =
                Scanned { sightings: seen.iter().map(sighting).collect(), ..Scanned::default() };
            add(&memory, &areas, &tickets, &mut found);
            let new = found.sightings[seen.len()..].iter();
            new.map(|found| (found.address - range.start, found.handle())).collect::<Vec<_>>()
        };
        assert_eq!(found(1, &[]), [(8, 0), (16, 1)]);
        assert_eq!(found(1, &[0]), [(16, 1)], "what is found elsewhere is there");
        assert_eq!(found(0, &[]), [], "the thread that searches makes no handle meanwhile");
    }
}
