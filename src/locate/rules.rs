//! The rules of a proof, each by its name, so that its test can show the false claim that is made without it.

/// What keeps something from being called unreachable. See the [module](super#what-a-grade-says).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A word that points there counts, whatever it is.
    Words,
    /// A copy of a ticket counts, a stale one too.
    Copies,
    /// Each handle is to be found, with its pointer: weak ones too.
    Handles,
    /// A handle that is a raw pointer may be anywhere.
    Raw,
    /// std counts as many owners as refscope does.
    Counts,
    /// So does an `Rc` of std's in between, of which only the pointers are known.
    StdCounts,
    /// Each block that has a handle is to be led to by an object: what has its address in a form of its own is not found.
    Blocks,
    /// The threads, the blocks and the moment are known.
    Doubts,
}

/// The rules that apply: all, outside of tests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    without: Option<Rule>,
}

impl Rules {
    pub(super) fn apply(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::super::assemble::{Picture, assemble};
    use super::super::blocks::Blocks;
    use super::super::doubt::Doubt;
    use super::super::inputs::{HandleInput, ObjectInput};
    use super::super::made_up::MadeUp;
    use super::super::ownership::Grade;
    use super::super::scan::{Area, AreaKind, Limits};
    use super::{Rule, Rules};
    use crate::event::Kind;
    use crate::runtime::entry::scrambled;
    use std::ops::Range;
    use std::time::{Duration, Instant};

    const START: u64 = 0x7f00_0000_0000;
    /// Words of each block and area, and of the gap behind it.
    const WORDS: u64 = 8;
    const ROOM: u64 = WORDS + 2;

    /// Two objects that hold each other, a plain block, a static and a stack, with nothing in them.
    struct Ring {
        memory: MadeUp,
        objects: Vec<ObjectInput>,
        handles: Vec<HandleInput>,
        doubts: Vec<Doubt>,
        stack: Range<u64>,
        thin: bool,
    }

    const ONE: u64 = 0;
    const TWO: u64 = 1;
    const PLAIN: u64 = 2;
    const STATIC: u64 = 3;
    const STACK: u64 = 4;

    /// Where something begins.
    fn start(of: u64) -> u64 {
        START + 8 * ROOM * of
    }

    fn range(of: u64) -> Range<u64> {
        start(of)..start(of) + 8 * WORDS
    }

    impl Ring {
        fn new() -> Self {
            let object = |id: u64, of: u64| ObjectInput {
                id,
                kind: Kind::Rc,
                type_name: "Node",
                address: start(of) + 16,
                size: 8 * (WORDS - 2),
                log2_align: 3,
                strong: 0,
            };
            let mut ring = Self {
                memory: MadeUp { start: START, words: vec![0; 5 * ROOM as usize] },
                objects: vec![object(1, ONE), object(2, TWO)],
                handles: Vec::new(),
                doubts: Vec::new(),
                stack: range(STACK),
                thin: false,
            };
            for (from, to) in [(ONE, TWO), (TWO, ONE)] {
                let ticket = ring.handle(to, true, false);
                ring.write(from, 3, &[start(to), ticket]);
            }
            ring
        }

        fn write(&mut self, to: u64, at: u64, words: &[u64]) {
            let at = (ROOM * to + at) as usize;
            self.memory.words[at..at + words.len()].copy_from_slice(words);
        }

        /// A handle that is stored nowhere yet, with std's count of it. Returns its ticket.
        fn handle(&mut self, to: u64, strong: bool, raw: bool) -> u64 {
            let number = self.handles.len() as u64 + 1;
            let ticket = 1 << 63 | 7 << 48 | (0x6000_0000_0000 + 64 * number);
            let object = to as u32;
            let scrambled = scrambled(ticket);
            self.handles.push(HandleInput { ticket: scrambled, number, object, strong, raw });
            if strong {
                self.objects[to as usize].strong += 1;
                self.write(to, 0, &[self.objects[to as usize].strong.into(), 1]);
            }
            ticket
        }

        /// A handle that is stored nowhere.
        fn lose(&mut self, to: u64, strong: bool, raw: bool) {
            self.handle(to, strong, raw);
        }

        /// Whether a cycle is proven.
        fn is_proven(&self, without: Option<Rule>) -> bool {
            let mut blocks = Blocks::default();
            [ONE, TWO, PLAIN].into_iter().for_each(|block| blocks.push(start(block), WORDS));
            let mut handles = self.handles.clone();
            handles.sort_by_key(|handle| (handle.object, handle.number));
            let area = |range: Range<u64>, kind| Area { range, kind };
            let picture = Picture {
                objects: self.objects.clone(),
                handles,
                blocks,
                areas: vec![
                    area(range(STATIC), AreaKind::Static("program".to_owned())),
                    area(self.stack.clone(), AreaKind::Stack(0)),
                ],
                locals: Vec::new(),
                threads: vec!["main".into()],
                images: Vec::new(),
                doubts: self.doubts.clone(),
                rules: Rules { without },
                waiting: Vec::new(),
                thin: self.thin,
            };
            let until = Instant::now() + Duration::from_secs(60);
            let found = assemble(
                &self.memory,
                picture,
                Limits { until, edges: 1 << 20, piece: u64::MAX },
                &super::super::made_up::nothing_told,
            )
            .0;
            found.cycles.iter().any(|cycle| cycle.grade == Grade::Proven)
        }
    }

    /// A ring that something holds is not proven, and would be without the rule.
    #[track_caller]
    fn needs(rule: Rule, hold: impl FnOnce(&mut Ring)) {
        let mut ring = Ring::new();
        assert!(ring.is_proven(None), "nothing holds it yet");
        hold(&mut ring);
        assert!(!ring.is_proven(None), "it is held");
        assert!(ring.is_proven(Some(rule)), "it would be proven without {rule:?}");
    }

    #[test]
    fn a_plain_pointer_in_a_static() {
        needs(Rule::Words, |ring| ring.write(STATIC, 2, &[start(ONE) + 16]));
    }

    #[test]
    fn a_pointer_into_the_middle_on_a_stack() {
        needs(Rule::Words, |ring| ring.write(STACK, 2, &[start(TWO) + 40]));
    }

    #[test]
    fn a_pointer_with_low_bits_set() {
        needs(Rule::Words, |ring| ring.write(STATIC, 2, &[start(ONE) + 16 + 5]));
    }

    #[test]
    fn a_plain_pointer_in_a_block_that_is_held() {
        needs(Rule::Words, |ring| {
            ring.write(STATIC, 2, &[start(PLAIN)]);
            ring.write(PLAIN, 1, &[start(ONE) + 16]);
        });
    }

    /// What `mem::forget` leaves in a frame, or a move.
    #[test]
    fn a_stale_copy_on_a_stack() {
        needs(Rule::Copies, |ring| ring.write(STACK, 4, &[ring.handles[0].word()]));
    }

    /// The popped slot of a `Vec`.
    #[test]
    fn a_stale_copy_in_a_block_that_is_held() {
        needs(Rule::Copies, |ring| {
            ring.write(STATIC, 2, &[start(PLAIN)]);
            ring.write(PLAIN, 5, &[ring.handles[1].word()]);
        });
    }

    /// In C's malloc, in a register, encoded, or forgotten.
    #[test]
    fn a_handle_that_is_found_nowhere() {
        needs(Rule::Handles, |ring| ring.lose(ONE, true, false));
    }

    #[test]
    fn a_weak_handle_that_is_found_nowhere() {
        needs(Rule::Handles, |ring| ring.lose(TWO, false, false));
    }

    /// The ticket alone is no handle: its pointer may be what the program keeps elsewhere.
    #[test]
    fn a_handle_whose_pointer_is_not_beside_it() {
        needs(Rule::Handles, |ring| {
            let ticket = ring.handle(ONE, true, false);
            ring.write(TWO, 7, &[ticket]);
        });
    }

    /// Where a handle is one word, the ticket is all of it.
    #[test]
    fn a_ticket_that_is_the_whole_handle() {
        let mut ring = Ring::new();
        for (from, to) in [(ONE, TWO), (TWO, ONE)] {
            let ticket = ring.handles[from as usize].word();
            assert_eq!(ring.handles[from as usize].object, to as u32);
            ring.write(from, 3, &[0, ticket]);
        }
        assert!(!ring.is_proven(None), "of two words, it is half a handle");
        ring.thin = true;
        assert!(ring.is_proven(None));
        ring.write(STACK, 4, &[ring.handles[0].word()]);
        assert!(!ring.is_proven(None), "a copy on a stack may be the handle");
    }

    #[test]
    fn a_handle_that_is_a_raw_pointer() {
        needs(Rule::Raw, |ring| ring.lose(TWO, true, true));
    }

    #[test]
    fn an_owner_that_only_std_counts() {
        needs(Rule::Counts, |ring| ring.write(ONE, 0, &[2, 1]));
    }

    /// The ring goes by an `Rc` of std's that has one more owner than pointers to it were found.
    #[test]
    fn an_owner_of_an_rc_in_between() {
        needs(Rule::StdCounts, |ring| {
            let ticket = ring.handles[0].word();
            ring.write(ONE, 3, &[start(PLAIN), 0]);
            ring.write(PLAIN, 0, &[2, 1, start(TWO), ticket]);
        });
    }

    /// A list that goes by the XOR of addresses, or a tag in their high bits.
    #[test]
    fn a_block_whose_address_is_encoded() {
        needs(Rule::Blocks, |ring| {
            let ticket = ring.handle(ONE, true, false);
            ring.write(PLAIN, 2, &[start(ONE), ticket]);
            ring.write(STATIC, 2, &[!start(PLAIN)]);
        });
        // The ring has an old copy of it besides.
        needs(Rule::Blocks, |ring| {
            let ticket = ring.handle(ONE, true, false);
            ring.write(PLAIN, 2, &[start(ONE), ticket]);
            ring.write(TWO, 6, &[start(ONE), ticket]);
        });
    }

    #[test]
    fn what_is_not_known_of_threads_and_blocks() {
        needs(Rule::Doubts, |ring| {
            ring.doubts.push(Doubt::Registers);
        });
    }

    /// A stack pointer that is taken too high, or registers that are not read: no rule is left that could help.
    #[test]
    fn a_local_below_the_stack_pointer() {
        let mut ring = Ring::new();
        ring.handle(ONE, true, false);
        let ticket = ring.handles[2].word();
        ring.write(STACK, 1, &[start(ONE), ticket]);
        assert!(!ring.is_proven(None), "a local holds it");
        // It is found, so that it counts as located; what holds it is a copy in the ring.
        ring.write(TWO, 6, &[start(ONE), ticket]);
        assert!(!ring.is_proven(None), "a local may hold it");
        ring.stack.start += 8 * 4;
        assert!(ring.is_proven(None), "the false proof");
    }
}
