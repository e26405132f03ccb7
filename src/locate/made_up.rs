//! Memories that are made up, with a known truth.

use super::memory::Memory;

/// A generator of numbers, the same for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`, or 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit.max(1)
    }
}

/// Words from an address on.
pub(super) struct MadeUp {
    pub(super) start: u64,
    pub(super) words: Vec<u64>,
}

impl Memory for MadeUp {
    fn read(&self, address: u64, into: &mut [u64]) -> usize {
        let Some(at) = address.checked_sub(self.start).map(|at| (at / 8) as usize) else {
            return 0;
        };
        let Some(words) = self.words.get(at..) else { return 0 };
        let count = words.len().min(into.len());
        into[..count].copy_from_slice(&words[..count]);
        count
    }
}

use super::assemble::{Picture, assemble};
use super::blocks::Blocks;
use super::collections::Told;
use super::inputs::{HandleInput, ObjectInput};
use super::ownership::{Grade, Held, NodeKind, Owner, Ownership};
use super::rules::Rules;
use super::scan::{Area, AreaKind, Limits};
use crate::event::{Kind, ObjectId};
use crate::runtime::entry::scrambled;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// No types are known.
pub(super) fn nothing_told(owners: &[Owner], _: &[ObjectInput]) -> Vec<Told> {
    vec![Told::Nothing; owners.len()]
}

const START: u64 = 0x7f00_0000_0000;
const PLACES: u64 = 0x6000_0000_0000;

/// A program that is made up: nodes are objects (the first so many) and plain blocks, edges are handles or pointers.
struct Program {
    memory: MadeUp,
    objects: Vec<ObjectInput>,
    handles: Vec<HandleInput>,
    blocks: Vec<(u64, u64)>,
    areas: Vec<Area>,
    /// `(from, to)`; `from` is a node, or the number of nodes and an area's number.
    edges: Vec<(usize, usize)>,
    /// Words that are copies, or pointers that hold nothing: `(from, to)`, of the same numbers.
    stale: Vec<(usize, usize)>,
    nodes: usize,
}

impl Program {
    fn random(random: &mut Random) -> Self {
        let objects = 1 + random.below(10) as usize;
        let nodes = objects + random.below(8) as usize;
        let sources = nodes + 2;
        // A header of two words for an object, then slots, each of four words.
        let slots = 8;
        let length = |node: usize| if node < objects { 2 + 4 * slots } else { 4 * slots };
        let mut program = Self {
            memory: MadeUp { start: START, words: Vec::new() },
            objects: Vec::new(),
            handles: Vec::new(),
            blocks: Vec::new(),
            areas: Vec::new(),
            edges: Vec::new(),
            stale: Vec::new(),
            nodes,
        };
        let mut starts = Vec::new();
        for source in 0..sources {
            // Garbage between the blocks.
            let gap = 2 + random.below(6);
            for _ in 0..gap {
                program.memory.words.push(random.next() >> random.below(60));
            }
            let start = START + 8 * program.memory.words.len() as u64;
            let words = length(source);
            program.memory.words.resize(program.memory.words.len() + words as usize, 0);
            starts.push(start);
            if source < nodes {
                program.blocks.push((start, words));
            } else {
                let kind = match source - nodes {
                    0 => AreaKind::Static("program".to_owned()),
                    _ => AreaKind::Stack(0),
                };
                program.areas.push(Area { range: start..start + 8 * words, kind });
            }
        }
        for (object, start) in starts.iter().take(objects).enumerate() {
            let address = start + 16;
            program.objects.push(ObjectInput {
                id: object as u64 + 1,
                kind: Kind::Rc,
                type_name: "Node",
                address,
                size: 8 * (length(object) - 2),
                log2_align: 3,
                strong: 0,
            });
        }
        let mut next = vec![0; sources];
        let mut place = PLACES;
        for _ in 0..random.below(3 * nodes as u64 + 4) {
            let (from, to) =
                (random.below(sources as u64) as usize, random.below(nodes as u64) as usize);
            // A plain block has one owner, as a `Vec`'s buffer has.
            let is_second = to >= objects && program.edges.iter().any(|&(_, other)| other == to);
            if next[from] == slots || is_second || from == to {
                continue;
            }
            let is_stale = random.below(5) == 0;
            let header = if from < objects { 2 } else { 0 };
            let at = starts[from] + 8 * (header + 4 * next[from]);
            next[from] += 1;
            let word = ((at - START) / 8) as usize;
            if to >= objects {
                if is_stale {
                    continue;
                }
                program.memory.words[word] = starts[to] + 8 * random.below(4);
                program.edges.push((from, to));
                continue;
            }
            if is_stale {
                // A copy of another handle, or a pointer that is none.
                let copied = program.handles.iter().rfind(|handle| handle.object as usize == to);
                program.memory.words[word + 1] = copied.map_or(0, |handle| handle.word());
                // It must not look the likelier: its pointer is gone.
                program.memory.words[word] =
                    if copied.is_some() { 0 } else { starts[to] + 8 * random.below(3) };
                program.stale.push((from, to));
                continue;
            }
            place += 64;
            let ticket = 1 << 63 | random.below(1 << 15) << 48 | place;
            program.memory.words[word] = starts[to];
            program.memory.words[word + 1] = ticket | random.below(2);
            program.objects[to].strong += 1;
            let number = u64::from(program.objects[to].strong);
            program.handles.push(HandleInput {
                ticket: scrambled(ticket),
                number,
                object: to as u32,
                strong: true,
                raw: false,
            });
            program.edges.push((from, to));
        }
        for (object, input) in program.objects.iter().enumerate() {
            let word = ((starts[object] - START) / 8) as usize;
            program.memory.words[word] = input.strong.into();
            program.memory.words[word + 1] = 1;
        }
        program.handles.sort_by_key(|handle| (handle.object, handle.number));
        program
    }

    fn search(&self, piece: u64) -> Ownership {
        let mut blocks = Blocks::default();
        for &(start, words) in &self.blocks {
            blocks.push(start, words);
        }
        let picture = Picture {
            objects: self.objects.clone(),
            handles: self.handles.clone(),
            blocks,
            areas: self.areas.clone(),
            locals: Vec::new(),
            threads: vec!["main".into()],
            images: Vec::new(),
            doubts: Vec::new(),
            rules: Rules::default(),
            waiting: Vec::new(),
            thin: false,
        };
        let until = Instant::now() + Duration::from_secs(60);
        assemble(&self.memory, picture, Limits { until, edges: 1 << 20, piece }, &nothing_told).0
    }

    fn reach(&self, roots: &[usize], edges: &[(usize, usize)]) -> BTreeSet<usize> {
        let (mut reached, mut stack) = (BTreeSet::new(), roots.to_vec());
        while let Some(at) = stack.pop() {
            if reached.insert(at) {
                stack.extend(edges.iter().filter(|edge| edge.0 == at).map(|edge| edge.1));
            }
        }
        reached
    }
}

/// What the search says is what the graph is, whatever garbage and stale copies stand around it.
#[test]
fn made_up_programs_are_told_as_they_are() {
    let (mut cycles, mut proven) = (0, 0);
    for seed in 1..2500 {
        let program = Program::random(&mut Random::new(seed));
        let found = program.search(u64::MAX);
        // Two threads find what one finds.
        let by_two = program.search(256);
        assert_eq!(format!("{by_two:?}"), format!("{found:?}"), "seed {seed}");
        let areas = [program.nodes, program.nodes + 1];
        let held = program.reach(&areas, &program.edges);
        let all: Vec<_> = program.edges.iter().chain(&program.stale).copied().collect();
        let maybe = program.reach(&areas, &all);
        // Blocks that no object leads to, in which handles are: their addresses may be encoded.
        let objects: Vec<usize> =
            (0..program.objects.len()).filter(|object| !maybe.contains(object)).collect();
        let led_to = program.reach(&objects, &all);
        let is_hidden = |node: usize| {
            (program.objects.len()..program.nodes).contains(&node)
                && !maybe.contains(&node)
                && !led_to.contains(&node)
        };
        let is_object = |node: usize| node < program.objects.len();
        let handles = program.edges.iter().filter(|&&(from, to)| is_hidden(from) && is_object(to));
        let hidden = program.reach(&handles.map(|&(_, to)| to).collect::<Vec<_>>(), &all);
        for object in &found.objects {
            let node = object.id.number() as usize - 1;
            let (root, _) = found.path(object.id).expect("each object has storage");
            let is_held = matches!(root, Held::Root(_));
            assert_eq!(is_held, held.contains(&node), "seed {seed}: {} {root:?}", object.id);
            // What stands before the root is the static, if it reaches at all.
            if program.reach(&areas[..1], &program.edges).contains(&node) {
                assert!(matches!(root, Held::Root(Owner::Static { .. })), "seed {seed}: {root:?}");
            }
            // It retains what is not reached without it.
            if is_held {
                let without: Vec<_> =
                    program.edges.iter().filter(|edge| edge.1 != node).copied().collect();
                // What nothing holds keeps what it points to, all the same.
                let leaked = (0..program.nodes).filter(|at| !held.contains(at));
                let roots: Vec<usize> = leaked.chain(areas).collect();
                let left = program.reach(&roots, &without);
                let lost = held.iter().filter(|at| !left.contains(at));
                let objects = lost.filter(|&&at| at < program.objects.len()).count() as u64;
                assert_eq!(object.retained_objects, objects, "seed {seed}: {}", object.id);
            }
            // Members of one cycle reach each other, and are not held.
            let around = |at: usize| {
                let next: Vec<usize> =
                    program.edges.iter().filter(|edge| edge.0 == at).map(|edge| edge.1).collect();
                program.reach(&next, &program.edges)
            };
            let mine = around(node);
            let is_cyclic = mine.contains(&node) && !is_held;
            let cycle = found.cycle_of(object.id);
            assert_eq!(cycle.is_some(), is_cyclic, "seed {seed}: {}", object.id);
            let Some(cycle) = cycle else { continue };
            let members: Vec<ObjectId> = (0..program.objects.len())
                .filter(|&other| mine.contains(&other) && around(other).contains(&node))
                .map(|other| ObjectId::from_number(other as u64 + 1))
                .collect();
            assert_eq!(cycle.objects, members, "seed {seed}");
            let is_proven = cycle.grade == Grade::Proven;
            let may_be_reached =
                cycle.objects.iter().any(|&id| maybe.contains(&(id.number() as usize - 1)))
                    || cycle.objects.iter().any(|&id| hidden.contains(&(id.number() as usize - 1)));
            assert_eq!(is_proven, !may_be_reached, "seed {seed}: {:?}", cycle.grade);
            cycles += 1;
            proven += u32::from(is_proven);
            // The round goes from node to node by what stands there, and comes back.
            let first = &found.nodes[cycle.round[0].from as usize];
            assert_eq!(first.kind, NodeKind::Object(cycle.objects[0]), "seed {seed}");
        }
    }
    assert!(cycles > 500 && proven > 300 && proven < cycles, "{cycles} cycles, {proven} proven");
}
