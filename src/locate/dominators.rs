//! What each block retains: everything that only it leads to, by the dominators of the guess.

use super::dominator_tree::dominators;
use super::graph::{Graph, NONE};
use super::guess::Held;
use super::ownership::LocatedObject;

/// Objects and bytes that end with a block, its own included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Retained {
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// Writes to each object what it retains, and returns what each cycle does. What nothing holds hangs on the blocks that begin
/// it.
pub(super) fn retained(
    graph: &Graph,
    held: &[Held],
    cycles: usize,
    objects: &mut [LocatedObject],
) -> Vec<Retained> {
    let count = graph.blocks.len();
    let begins = |by: &Held| !matches!(by, Held::Not | Held::By(..) | Held::Cycle(_));
    let roots = (0..count as u32).filter(|&block| begins(&held[block as usize]));
    // One block of a cycle stands for it, the first.
    let mut seen = vec![false; cycles];
    let firsts = (0..count as u32).filter(|&block| match held[block as usize] {
        Held::Cycle(cycle) => !std::mem::replace(&mut seen[cycle as usize], true),
        _ => false,
    });
    // Every word of an area that counts is a root; those of blocks that another way reached first, too.
    let others = graph.other_roots(held);
    let roots: Vec<u32> = roots.chain(firsts).chain(others).collect();
    let leaves = leaves(graph, &roots);
    let all = |block: u32| graph.out(block).map(|(to, _)| to);
    let out = |block: u32| all(block).filter(|&to| !leaves[to as usize]);
    let (vertex, dominator) = dominators(count, roots.into_iter(), out);
    let bytes = |block: u32| 8 * u64::from(graph.blocks.words[block as usize]);
    // By the vertices' own numbers: most blocks are leaves, and have none.
    let mut by_vertex = vec![Retained::default(); vertex.len()];
    let mut by_cycle = vec![Retained::default(); cycles];
    for own in (1..vertex.len()).rev() {
        let block = vertex[own];
        let object = graph.owners[block as usize].checked_sub(1);
        by_vertex[own].objects += u64::from(object.is_some());
        by_vertex[own].bytes += match object {
            Some(object) => objects[object as usize].size,
            None => bytes(block),
        };
        let own_leaves = all(block).filter(|&to| leaves[to as usize]);
        by_vertex[own].bytes += own_leaves.map(bytes).sum::<u64>();
        let retained = by_vertex[own];
        if dominator[own] != 0 {
            let above = &mut by_vertex[dominator[own] as usize];
            above.objects += retained.objects;
            above.bytes += retained.bytes;
        }
        if let Some(object) = object {
            let object = &mut objects[object as usize];
            (object.retained_objects, object.retained_bytes) = (retained.objects, retained.bytes);
        }
        if let Held::Cycle(cycle) = held[block as usize] {
            let most = &mut by_cycle[cycle as usize];
            *most = (*most).max(retained);
        }
    }
    for index in 0..objects.len() {
        // Of two that stand for one allocation, the first one owns it.
        let block = Some(graph.block_of[index]).filter(|&block| block != NONE);
        let owner = block.and_then(|block| graph.owners[block as usize].checked_sub(1));
        let owner = owner.map_or(index, |owner| owner as usize);
        let (count, bytes) = (objects[owner].retained_objects, objects[owner].retained_bytes);
        let object = &mut objects[index];
        (object.retained_objects, object.retained_bytes) = (count.max(1), bytes.max(object.size));
    }
    by_cycle
}

/// The blocks that lead nowhere and are pointed to once: what does so dominates them. Most are buffers, and there may be as
/// many as all else.
fn leaves(graph: &Graph, roots: &[u32]) -> Vec<bool> {
    let mut pointers = vec![0_u8; graph.blocks.len()];
    let mut leaves = vec![false; graph.blocks.len()];
    for block in 0..graph.blocks.len() as u32 {
        let mut leads = false;
        for (to, _) in graph.out(block) {
            leads = true;
            pointers[to as usize] = pointers[to as usize].saturating_add(1);
        }
        leaves[block as usize] = !leads && graph.owners[block as usize] == 0;
    }
    for (leaf, pointers) in leaves.iter_mut().zip(pointers) {
        *leaf &= pointers == 1;
    }
    roots.iter().for_each(|&root| leaves[root as usize] = false);
    leaves
}
