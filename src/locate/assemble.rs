//! From a picture of the memory to the result.

use super::blocks::Blocks;
use super::collections::{Life, Told};
use super::dominators::{Retained, retained};
use super::doubt::{Doubt, Place};
use super::graph::{Graph, Matched, NONE};
use super::inputs::{HandleInput, ObjectInput};
use super::memory::Memory;
use super::name::Name;
use super::ownership::{
    Cycle, Grade, Held, LocatedHandle, LocatedObject, Node, NodeKind, Owner, Ownership,
    PlainPointer, StaticPlace, Statistics, Step, ThreadLocalPlace,
};
use super::proof::Reach;
use super::rules::{Rule, Rules};
use super::scan::{Area, AreaKind, Limits, Locals, Scanned, Tickets, scan};
use super::symbols::Image;
use super::{guess, in_hand};
use crate::event::{HandleId, ObjectId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// What there is to search.
pub(super) struct Picture {
    /// By number.
    pub(super) objects: Vec<ObjectInput>,
    /// By object and number.
    pub(super) handles: Vec<HandleInput>,
    pub(super) blocks: Blocks,
    pub(super) areas: Vec<Area>,
    /// Whose the thread-locals are.
    pub(super) locals: Vec<Locals>,
    /// The threads' names.
    pub(super) threads: Vec<Arc<str>>,
    /// Which of them wait in the kernel.
    pub(super) waiting: Vec<bool>,
    /// The files of the areas.
    pub(super) images: Vec<Image>,
    /// Why nothing can be proven.
    pub(super) doubts: Vec<Doubt>,
    pub(super) rules: Rules,
    /// Whether a ticket is a whole handle: its place has the pointer.
    pub(super) thin: bool,
}

/// Each object's block, and each block's object; and the objects without a known block, which get one of their own. An
/// object's block ends with its value, where that is known.
fn match_blocks(objects: &[ObjectInput], blocks: &mut Blocks) -> (Matched, Vec<u32>) {
    let find = |blocks: &Blocks, object: &ObjectInput| {
        let at = blocks.start.binary_search(&object.block()).ok()?;
        (blocks.range(at).end >= object.end()).then_some(at as u32)
    };
    let with_block = |(_, object): &(usize, &ObjectInput)| object.has_block();
    let missing: Vec<u32> = (objects.iter().enumerate())
        .filter(with_block)
        .filter(|(_, object)| find(blocks, object).is_none())
        .map(|(index, _)| index as u32)
        .collect();
    if !missing.is_empty() {
        for &object in &missing {
            let object = &objects[object as usize];
            let start = object.block() & !7;
            blocks.push(start, object.end().saturating_sub(start).div_ceil(8));
        }
        blocks.sort();
    }
    let mut block_of = vec![NONE; objects.len()];
    let mut owners = vec![0; blocks.len()];
    for (index, object) in objects.iter().enumerate().filter(with_block) {
        let Some(block) = find(blocks, object) else { continue };
        // Two objects may stand for one allocation: one adopted from std's pointer.
        if owners[block as usize] == 0 {
            owners[block as usize] = index as u32 + 1;
        }
        block_of[index] = block;
    }
    for (object, &block) in objects.iter().zip(&block_of) {
        if let Some(words) = blocks.words.get_mut(block as usize) {
            *words = words_of(object, *words);
        }
    }
    (Matched { owners, block_of }, missing)
}

/// Words that an allocator adds to a block: it rounds up, and does not split off what is too small to be a block.
const ADDED: u64 = 4;

/// How many of the words of an object's block are the object's. What stands in those that the allocator added is old. If there
/// are more, the block has something else as well; and an object that was adopted from a weak pointer of std's has an unknown
/// size, which is 0.
fn words_of(object: &ObjectInput, words: u32) -> u32 {
    let length = object.end().saturating_sub(object.block()).div_ceil(8);
    let added = u64::from(words).saturating_sub(length);
    if object.size > 0 && added <= ADDED { words - added as u32 } else { words }
}

/// Searches the memory that the picture shows. Returns what was found, and the handles that may be elsewhere.
///
/// What is not needed any more is freed at once: with a million objects the result alone is some 190 MB.
pub(super) fn assemble(
    memory: &(impl Memory + Sync),
    mut picture: Picture,
    limits: Limits,
    told: ByTypes<'_>,
) -> (Ownership, Vec<Doubtful>) {
    let (matched, missing) = match_blocks(&picture.objects, &mut picture.blocks);
    let Picture {
        objects,
        handles,
        blocks,
        areas,
        locals,
        threads,
        waiting,
        images,
        mut doubts,
        rules,
        thin,
    } = picture;
    let scanned = {
        let tickets = Tickets::new(&handles, thin);
        let known = (&*objects, &tickets);
        let mut scanned = scan(memory, &blocks, &matched.owners, &areas, known, limits);
        scanned.in_hand = in_hand::find(memory, (&areas, &waiting), &tickets, &scanned);
        scanned
    };
    for doubt in doubts_of(&scanned, &handles, &missing) {
        if !doubts.contains(&doubt) {
            doubts.push(doubt);
        }
    }
    let statistics = Statistics {
        bytes: scanned.bytes,
        blocks: blocks.len() as u64,
        is_cut: scanned.is_cut,
        ..Statistics::default()
    };
    let kinds = areas.into_iter().map(|area| area.kind).collect();
    let told = |places: &[(&AreaKind, u64)], objects: &[ObjectInput]| {
        Places { locals: &locals, threads: &[], images: &images }.told(places, objects, told)
    };
    let mut graph =
        Graph::new((objects, handles), (blocks, matched), (scanned, kinds), rules, memory, &told);
    let (mut held, mut left, old) = graph.holders(memory, &told);
    let components = graph.cycles(&mut held, &mut left);
    let reached = (!components.is_empty()).then(|| graph.reached(memory));
    let rounds: Vec<_> = components.iter().map(|component| graph.round(component)).collect();
    graph.take_out(&left);
    graph.take_out(&old);
    drop((left, old));
    let (mut objects, headers) = located(std::mem::take(&mut graph.objects));
    let of_cycles = retained(&graph, &held, components.len(), &mut objects);
    graph.free_edges();
    let mut assembly = Assembly {
        graph,
        objects,
        headers,
        places: Places { locals: &locals, threads: &threads, images: &images },
        task_of: &|block| task_at(memory, &images, block),
        node_of: Vec::new(),
    };
    assembly.number_nodes(&held);
    assembly.give_nodes();
    let nodes = assembly.nodes(&held);
    let plain_pointers = assembly.plain_pointers(&held);
    drop(held);
    let cycles = (components.iter().zip(&rounds).zip(of_cycles))
        .map(|((component, round), retained)| {
            assembly.cycle(component, round, retained, reached.as_deref(), &doubts)
        })
        .collect();
    drop(reached);
    let doubtful = std::mem::take(&mut assembly.graph.doubtful);
    let handles = assembly.handles(&doubtful);
    let mut result = Ownership {
        handles,
        objects: assembly.objects,
        cycles,
        nodes,
        plain_pointers,
        asked_by: String::new(),
        doubts,
        statistics,
    };
    sort_cycles(&mut result, components.len());
    (result, doubtful)
}

/// Puts the cycles in order. Nodes name them by their place.
fn sort_cycles(result: &mut Ownership, cycles: usize) {
    result.cycles.sort_by(|a, b| a.objects.cmp(&b.objects));
    let mut cycle_of: Vec<(ObjectId, u32)> = (result.cycles.iter().zip(0..))
        .flat_map(|(cycle, place)| cycle.objects.iter().map(move |&id| (id, place)))
        .collect();
    cycle_of.sort_unstable();
    let place = |id: ObjectId| {
        let at = cycle_of.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(cycle_of[at].1)
    };
    let mut now = vec![NONE; cycles];
    for node in &result.nodes {
        if let (Held::Cycle(before), NodeKind::Object(id)) = (&node.held, node.kind)
            && let Some(place) = place(id)
        {
            now[*before as usize] = place;
        }
    }
    for node in &mut result.nodes {
        if let Held::Cycle(cycle) = &mut node.held {
            *cycle = now[*cycle as usize];
        }
    }
}

/// The objects as the result has them, but for their nodes and what they retain; and [`Assembly::headers`]. The others are
/// freed.
fn located(objects: Vec<ObjectInput>) -> (Vec<LocatedObject>, Vec<u8>) {
    let headers = objects.iter().map(|object| object.header().checked_ilog2().unwrap_or(0) as u8);
    let headers = headers.collect();
    let mut names: HashMap<*const str, Name> = HashMap::new();
    let mut located = |object: &ObjectInput| LocatedObject {
        id: ObjectId::from_number(object.id),
        kind: object.kind,
        type_name: names.entry(object.type_name).or_insert_with(|| object.type_name.into()).clone(),
        size: object.size,
        node: None,
        retained_objects: 0,
        retained_bytes: 0,
    };
    (objects.iter().map(&mut located).collect(), headers)
}

fn doubts_of(scanned: &Scanned, handles: &[HandleInput], missing: &[u32]) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    if scanned.is_cut {
        doubts.push(Doubt::Cut);
    }
    if scanned.unread > 0 {
        doubts.push(Doubt::Unread { bytes: scanned.unread });
    }
    // An object made after the copy has no block in it, and its tickets are nowhere in it either.
    let is_missing = |found: &&super::scan::Sighting| {
        missing.binary_search(&handles[found.handle() as usize].object).is_ok()
    };
    if !missing.is_empty() && scanned.sightings.iter().any(|found| is_missing(&found)) {
        doubts.push(Doubt::BlocksUnknown);
    }
    doubts
}

/// The words at the beginning of a task's block among which its table of functions is.
const TASK_HEADER: usize = 6;

/// The name of the task in a block, if the block is one of an async runtime: it begins with words of which one points to the
/// runtime's functions for the task.
fn task_at(memory: &impl Memory, images: &[Image], block: Range<u64>) -> Option<String> {
    let is_possible = |image: &&Image| image.has_tasks();
    images.iter().find(is_possible)?;
    let mut header = [0; TASK_HEADER];
    let words = (((block.end - block.start) / 8) as usize).min(TASK_HEADER);
    let read = memory.read(block.start, &mut header[..words]);
    header[..read].iter().find_map(|&table| {
        let image = images.iter().filter(is_possible).find(|image| image.contains(table))?;
        let mut function = [0];
        let is_read = table % 8 == 0 && memory.read(table, &mut function) == 1;
        is_read.then(|| image.task_at(function[0])).flatten()
    })
}

/// What places outside of blocks are called.
struct Places<'a> {
    locals: &'a [Locals],
    threads: &'a [Arc<str>],
    images: &'a [Image],
}

impl Places<'_> {
    fn owner(&self, area: &AreaKind, address: u64) -> Owner {
        match area {
            AreaKind::Static(path) => {
                let image = self.images.iter().find(|image| image.path == *path);
                Owner::Static(Box::new(StaticPlace {
                    image: image.map_or(path.as_str(), Image::name).to_owned(),
                    address: image.map_or(address, |image| image.address(address)),
                    symbol: image.and_then(|image| image.static_at(address)),
                    field: None,
                    type_name: None,
                }))
            }
            AreaKind::ThreadLocal(of) => {
                let locals = &self.locals[*of];
                let image = locals.image.map(|image| &self.images[image]);
                let offset = address.checked_sub(locals.start).filter(|_| locals.start > 0);
                let symbol =
                    offset.and_then(|offset| image.and_then(|image| image.thread_local_at(offset)));
                Owner::ThreadLocal(Box::new(ThreadLocalPlace {
                    thread: self.thread(locals.thread),
                    image: image.map_or_else(String::new, |image| image.name().to_owned()),
                    offset,
                    symbol,
                    field: None,
                }))
            }
            AreaKind::Stack(thread) => Owner::Stack { thread: self.thread(*thread) },
            AreaKind::Unknown | AreaKind::Freed | AreaKind::Private => Owner::Unknown { address },
        }
    }

    fn thread(&self, thread: usize) -> Arc<str> {
        self.threads.get(thread).map_or_else(|| "".into(), Arc::clone)
    }

    /// Where the static or thread-local at an address ends.
    fn end(&self, area: &AreaKind, address: u64) -> Option<Told> {
        match area {
            AreaKind::Static(path) => {
                let image = self.images.iter().find(|image| image.path == *path)?;
                image.static_end(address).map(Told::End)
            }
            AreaKind::ThreadLocal(of) => {
                let locals = &self.locals[*of];
                let offset = address.checked_sub(locals.start).filter(|_| locals.start > 0)?;
                let left = self.images[locals.image?].thread_local_left(offset)?;
                Some(Told::EndOfLocal(address + left))
            }
            _ => None,
        }
    }

    /// What is known of the pointers to buffers that stand in statics and thread-locals: by the types of these, or by where they
    /// end.
    fn told(
        &self,
        places: &[(&AreaKind, u64)],
        objects: &[ObjectInput],
        by_types: ByTypes<'_>,
    ) -> Vec<Told> {
        let owners: Vec<Owner> =
            places.iter().map(|&(area, address)| self.owner(area, address)).collect();
        let mut told = by_types(&owners, objects);
        for (told, &(area, address)) in told.iter_mut().zip(places) {
            if *told == Told::Nothing
                && let Some(end) = self.end(area, address)
            {
                *told = end;
            }
        }
        told
    }
}

/// What the types of statics and thread-locals say of the pointers in them, for each of some. The objects are all that there are.
pub(super) type ByTypes<'a> = &'a dyn Fn(&[Owner], &[ObjectInput]) -> Vec<Told>;

/// A handle whose likeliest copy may be an old one, by its index in [`Ownership::handles`].
pub(super) type Doubtful = (u32, Life);

struct Assembly<'a> {
    /// Without its objects.
    graph: Graph,
    objects: Vec<LocatedObject>,
    /// How many bytes of each object's block stand before its value: the power of two, or 0 for none.
    headers: Vec<u8>,
    places: Places<'a>,
    /// The name of the task that a block is.
    task_of: &'a dyn Fn(Range<u64>) -> Option<String>,
    /// The node of a block, or [`NONE`].
    node_of: Vec<u32>,
}

impl Assembly<'_> {
    /// Numbers the blocks that the result shows: objects, what holds them, and what handles are stored in.
    fn number_nodes(&mut self, held: &[guess::Held]) {
        let graph = &self.graph;
        let mut shown = vec![false; graph.blocks.len()];
        let mut show = |mut block: u32| {
            while !std::mem::replace(&mut shown[block as usize], true) {
                let guess::Held::By(from, _) = held[block as usize] else { break };
                block = from;
            }
        };
        graph.block_of.iter().filter(|&&block| block != NONE).for_each(|&block| show(block));
        for &sighting in &graph.chosen {
            let found = graph.scanned.sightings.get(sighting as usize);
            if let Some(block) = found.and_then(|found| found.source.as_block()) {
                show(block);
            }
        }
        for (block, held) in held.iter().enumerate() {
            if matches!(held, guess::Held::Cycle(_)) {
                shown[block] = true;
            }
        }
        self.node_of = vec![NONE; shown.len()];
        let blocks = shown.iter().enumerate().filter(|(_, shown)| **shown);
        for (node, (block, _)) in blocks.enumerate() {
            self.node_of[block] = node as u32;
        }
    }

    fn nodes(&self, held: &[guess::Held]) -> Vec<Node> {
        let blocks = || self.node_of.iter().enumerate().filter(|(_, node)| **node != NONE);
        let mut nodes = Vec::with_capacity(blocks().count());
        nodes.extend(blocks().map(|(block, _)| self.node(block as u32, held[block])));
        nodes
    }

    fn node(&self, block: u32, held: guess::Held) -> Node {
        let kind = match self.object(block) {
            Some(object) => NodeKind::Object(object.id),
            None => NodeKind::Block(8 * u64::from(self.graph.blocks.words[block as usize])),
        };
        let scanned = &self.graph.scanned;
        let held = match held {
            guess::Held::By(from, words) => Held::By(self.step(from, words)),
            guess::Held::Word(word) => {
                let word = &scanned.from_areas[word as usize];
                Held::Root(self.area(word.area as usize, word.address))
            }
            guess::Held::Handle(sighting) => {
                let found = &scanned.sightings[sighting as usize];
                let area = found.source.as_area();
                Held::Root(area.map_or(Owner::NotFound, |area| self.area(area, found.address)))
            }
            guess::Held::Raw => Held::Root(Owner::Raw),
            guess::Held::NotFound => Held::Root(Owner::NotFound),
            guess::Held::Untraced => Held::Root(Owner::Untraced),
            guess::Held::Cycle(cycle) => Held::Cycle(cycle),
            guess::Held::Unreferenced if self.object(block).is_some() => Held::Dropped,
            guess::Held::Unreferenced | guess::Held::Not => Held::Unreferenced,
        };
        let task = match kind {
            NodeKind::Block(_) => (self.task_of)(self.graph.blocks.range(block as usize)),
            NodeKind::Object(_) => None,
        };
        Node { kind, task: task.map(Name::from), held }
    }

    fn object(&self, block: u32) -> Option<&LocatedObject> {
        let object = self.graph.owners[block as usize].checked_sub(1)?;
        Some(&self.objects[object as usize])
    }

    /// The offset in what the node is: in an object's value, not in its block.
    fn offset(&self, block: u32, words: u64) -> u64 {
        let object = self.graph.owners[block as usize].checked_sub(1);
        let header = match object.map(|object| self.headers[object as usize]) {
            None | Some(0) => 0,
            Some(power) => 1 << power,
        };
        (8 * words).saturating_sub(header)
    }

    fn step(&self, from: u32, words: u32) -> Step {
        Step {
            from: self.node_of[from as usize],
            offset: self.offset(from, words.into()),
            field: None,
        }
    }

    fn area(&self, area: usize, address: u64) -> Owner {
        self.places.owner(&self.graph.areas[area], address)
    }

    /// Tells each object its node.
    fn give_nodes(&mut self) {
        for (object, &block) in self.objects.iter_mut().zip(&self.graph.block_of) {
            let node = self.node_of.get(block as usize).copied();
            object.node = node.filter(|&node| node != NONE);
        }
    }

    /// What points to the objects of which no handle was found, though it is none.
    fn plain_pointers(&self, held: &[guess::Held]) -> Vec<PlainPointer> {
        let graph = &self.graph;
        let mut pointers = Vec::new();
        for edge in &graph.scanned.from_areas {
            let area = &graph.areas[edge.area as usize];
            let is_place = matches!(area, AreaKind::Static(_) | AreaKind::ThreadLocal(_))
                && !graph.is_doubtful(edge.area);
            let is_open =
                matches!(held[edge.to as usize], guess::Held::NotFound | guess::Held::Raw);
            if let Some(object) = self.object(edge.to).filter(|_| is_place && is_open) {
                let owner = self.places.owner(area, edge.address);
                pointers.push(PlainPointer { object: object.id, owner });
            }
        }
        pointers.sort_by_key(|pointer| pointer.object);
        pointers.dedup_by_key(|pointer| pointer.object);
        pointers
    }

    /// The handles. Nothing else is asked of where they stand.
    fn handles(&mut self, doubtful: &[Doubtful]) -> Vec<LocatedHandle> {
        let graph = &self.graph;
        let located = |(index, handle): (usize, &HandleInput)| LocatedHandle {
            id: HandleId::new(self.objects[handle.object as usize].id, handle.number),
            is_strong: handle.strong,
            owner: self.owner(index, handle),
            may_be_old: false,
            copies: graph.copies[index]
                + u32::from(graph.scanned.in_hand.binary_search(&(index as u32)).is_ok()),
        };
        let mut located: Vec<LocatedHandle> =
            graph.handles.iter().enumerate().map(located).collect();
        for &(handle, _) in doubtful {
            located[handle as usize].may_be_old = true;
        }
        let graph = &mut self.graph;
        (graph.handles, graph.chosen, graph.copies) = Default::default();
        (graph.scanned, graph.blocks) = Default::default();
        located
    }

    fn owner(&self, index: usize, handle: &HandleInput) -> Owner {
        let graph = &self.graph;
        let found = graph.scanned.sightings.get(graph.chosen[index] as usize);
        match found {
            _ if handle.raw => Owner::Raw,
            None => Owner::NotFound,
            Some(found) => match (found.source.as_block(), found.source.as_area()) {
                (Some(block), _) => {
                    let words = (found.address - graph.blocks.start[block as usize]) / 8;
                    let offset = self.offset(block, words);
                    match self.object(block) {
                        Some(object) => Owner::Object { object: object.id, offset, field: None },
                        None => Owner::Block {
                            size: 8 * u64::from(graph.blocks.words[block as usize]),
                            offset,
                            node: self.node_of[block as usize],
                            field: None,
                        },
                    }
                }
                (_, Some(area)) => self.area(area, found.address),
                _ => Owner::NotFound,
            },
        }
    }

    fn cycle(
        &self,
        blocks: &[u32],
        round: &[(u32, u32)],
        retained: Retained,
        reached: Option<&[Option<Reach>]>,
        doubts: &[Doubt],
    ) -> Cycle {
        let objects = blocks.iter().filter_map(|&block| self.object(block));
        let mut objects: Vec<_> = objects.map(|object| object.id).collect();
        objects.sort_unstable();
        let knows = !self.graph.rules.apply(Rule::Doubts);
        let mut reasons = if knows { Vec::new() } else { doubts.to_vec() };
        for &block in blocks {
            let why = reached.and_then(|reached| reached[block as usize]);
            if let Some(why) = why.map(|why| self.reason(why))
                && !reasons.contains(&why)
            {
                reasons.push(why);
            }
        }
        Cycle {
            objects,
            round: round.iter().map(|&(block, words)| self.step(block, words)).collect(),
            grade: if reasons.is_empty() { Grade::Proven } else { Grade::Likely(reasons) },
            retained_objects: retained.objects,
            retained_bytes: retained.bytes,
        }
    }

    fn reason(&self, why: Reach) -> Doubt {
        match why {
            Reach::Area(area) => {
                let place = match &self.graph.areas[area as usize] {
                    AreaKind::Static(image) => {
                        Place::Statics(image.rsplit('/').next().unwrap_or(image).to_owned())
                    }
                    AreaKind::ThreadLocal(of) => Place::ThreadLocal(
                        self.places.thread(self.places.locals[*of].thread).to_string(),
                    ),
                    AreaKind::Stack(thread) => {
                        Place::Stack(self.places.thread(*thread).to_string())
                    }
                    AreaKind::Unknown => Place::Unknown,
                    AreaKind::Freed | AreaKind::Private => Place::Freed,
                };
                Doubt::Word { place }
            }
            Reach::NotFound => Doubt::NotFound,
            Reach::Raw => Doubt::Raw,
            Reach::Untraced => Doubt::Untraced,
            Reach::StdRc => Doubt::StdPointer,
            Reach::Hidden => Doubt::HiddenBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;

    #[test]
    fn a_block_is_cut_where_its_value_ends_and_that_is_known() {
        let words = |size, words| {
            let (kind, type_name) = (Kind::Rc, "a type");
            let object = ObjectInput {
                id: 1,
                kind,
                type_name,
                address: 0x1010,
                size,
                strong: 1,
                log2_align: 3,
            };
            words_of(&object, words)
        };
        assert_eq!([words(4, 3), words(8, 5), words(24, 9)], [3, 3, 5], "what was added is old");
        assert_eq!(words(8, 8_000), 8_000, "the block is not its value's alone");
        assert_eq!([words(0, 3), words(0, 7)], [3, 7], "how large the value is is not known");
        assert_eq!(words(u64::MAX, 7), 7);
    }
}
