//! What was found, as a graph over the blocks: which words and which handles lead from where to where.
//!
//! Two questions are asked of it. In the **guess** ([`guess`](super::guess)) each strong handle is one edge, from where its
//! likeliest copy stands ([`copies`](super::copies)), and blocks between objects are held by what points to them. It is for
//! the text. In the **proof** ([`proof`](super::proof)) every word counts: stale copies, weak handles, plain pointers. What no
//! root reaches there, the program cannot reach.

use super::blocks::Blocks;
use super::collections::Life;
use super::copies::Asked;
use super::inputs::{HandleInput, ObjectInput};
use super::memory::Memory;
use super::rules::Rules;
use super::scan::{AreaKind, Edges, Scanned};
use super::spare::Edge;
use std::ops::Range;

pub(super) const NONE: u32 = u32::MAX;

/// What was found, and what the questions are asked of. With a million handles each field of it is megabytes, so it owns all
/// of them, and who asks nothing more of one frees it.
pub(super) struct Graph {
    /// By number.
    pub(super) objects: Vec<ObjectInput>,
    /// By object and number.
    pub(super) handles: Vec<HandleInput>,
    pub(super) blocks: Blocks,
    /// Each block's object, from 1; 0 for none.
    pub(super) owners: Vec<u32>,
    /// Each object's block, or [`NONE`].
    pub(super) block_of: Vec<u32>,
    pub(super) areas: Vec<AreaKind>,
    pub(super) scanned: Scanned,
    /// Of the proof.
    pub(super) rules: Rules,
    /// Each handle's likeliest copy, or [`NONE`].
    pub(super) chosen: Vec<u32>,
    /// How many copies of it there are that could be it.
    pub(super) copies: Vec<u32>,
    /// The handles whose likeliest copy may be an old one, in room of a collection that is not in use.
    pub(super) doubtful: Vec<(u32, Life)>,
    /// Which sightings in blocks are the chosen one of a handle that keeps its object alive.
    keeps: Vec<bool>,
}

/// Each block's object and each object's block: see the fields of [`Graph`].
pub(super) struct Matched {
    pub(super) owners: Vec<u32>,
    pub(super) block_of: Vec<u32>,
}

impl Graph {
    pub(super) fn new(
        (objects, handles): (Vec<ObjectInput>, Vec<HandleInput>),
        (blocks, matched): (Blocks, Matched),
        (scanned, areas): (Scanned, Vec<AreaKind>),
        rules: Rules,
        memory: &impl Memory,
        told: Asked<'_>,
    ) -> Self {
        let mut graph = Self {
            chosen: vec![NONE; handles.len()],
            copies: vec![0; handles.len()],
            objects,
            handles,
            blocks,
            owners: matched.owners,
            block_of: matched.block_of,
            areas,
            scanned,
            rules,
            doubtful: Vec::new(),
            keeps: Vec::new(),
        };
        graph.choose(memory, told);
        let mut keeps = vec![false; graph.in_blocks()];
        for (handle, &sighting) in graph.handles.iter().zip(&graph.chosen) {
            if let Some(keeps) = keeps.get_mut(sighting as usize) {
                *keeps = handle.keeps();
            }
        }
        graph.keeps = keeps;
        graph
    }

    /// Where the values of a block are: that of its object, or the whole block.
    pub(super) fn values(&self, block: u32) -> Range<u64> {
        let range = self.blocks.range(block as usize);
        match self.owners[block as usize].checked_sub(1) {
            Some(object) => {
                let object = &self.objects[object as usize];
                object.address..object.end()
            }
            None => range,
        }
    }

    /// Takes edges out, of which nothing is held: no question follows but what each block retains.
    pub(super) fn take_out(&mut self, edges: &[Edge]) {
        for &(from, to, offset) in edges {
            let first = &self.scanned.edges.first[from as usize..];
            for at in first[0] as usize..first[1] as usize {
                let edges = &mut self.scanned.edges;
                if (edges.to[at], edges.offset[at]) == (to, offset) {
                    // To itself: it changes nothing.
                    edges.to[at] = from;
                }
            }
        }
    }

    /// Frees what leads from block to block, of which nothing can be asked any more.
    pub(super) fn free_edges(&mut self) {
        self.scanned.edges = Edges::default();
        self.scanned.first_sighting = Vec::new();
        self.keeps = Vec::new();
    }

    /// The sightings in blocks are the first so many.
    pub(super) fn in_blocks(&self) -> usize {
        self.scanned.first_sighting.last().map_or(0, |&end| end as usize)
    }

    /// The sightings in a block.
    pub(super) fn sightings_in(&self, block: u32) -> Range<usize> {
        let first = &self.scanned.first_sighting;
        first[block as usize] as usize..first[block as usize + 1] as usize
    }

    /// The block of a handle's object.
    pub(super) fn target(&self, handle: u32) -> Option<u32> {
        let object = self.handles[handle as usize].object;
        Some(self.block_of[object as usize]).filter(|&block| block != NONE)
    }

    /// The sightings in a block that are handles which keep their objects alive.
    pub(super) fn kept_by(&self, block: u32) -> impl Iterator<Item = usize> + '_ {
        self.sightings_in(block).filter(|&sighting| self.keeps[sighting])
    }

    /// The edges of the guess from a block: to which, and at which offset in words.
    pub(super) fn out(&self, block: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let plain = self.scanned.edges.of(block);
        let plain = plain.filter(|&(to, _)| self.owners[to as usize] == 0);
        let start = self.blocks.start[block as usize];
        let handles = self.kept_by(block).filter_map(move |sighting| {
            let found = &self.scanned.sightings[sighting];
            Some((self.target(found.handle())?, ((found.address - start) / 8) as u32))
        });
        plain.chain(handles)
    }

    /// Whether words there may be copies of what is elsewhere: stacks, and libc's own data, whose lists of free memory
    /// lead to blocks beside it.
    pub(super) fn is_doubtful(&self, area: u32) -> bool {
        match &self.areas[area as usize] {
            AreaKind::Stack(_) => true,
            AreaKind::Static(image) => {
                image.rsplit('/').next().is_some_and(|name| name.starts_with("libc"))
            }
            _ => false,
        }
    }
}
