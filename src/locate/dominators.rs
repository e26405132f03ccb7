//! What each block retains: everything that only it leads to, by the dominators of the guess.

use super::dominator_tree::dominators;
use super::graph::{Graph, Held};

/// Objects and bytes that end with a block, its own included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retained {
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// What each block retains. What nothing holds hangs on the blocks that begin it.
pub(super) fn retained(graph: &Graph<'_>, held: &[Held]) -> Vec<Retained> {
    let count = graph.blocks.len();
    let begins = |by: &Held| !matches!(by, Held::Not | Held::By(..) | Held::Cycle(_));
    let roots = (0..count as u32).filter(|&block| begins(&held[block as usize]));
    // One block of a cycle stands for it, the first.
    let mut seen = Vec::new();
    let cycles = (0..count as u32).filter(|&block| match held[block as usize] {
        Held::Cycle(cycle) => {
            if seen.len() <= cycle as usize {
                seen.resize(cycle as usize + 1, false);
            }
            !std::mem::replace(&mut seen[cycle as usize], true)
        }
        _ => false,
    });
    // Every word of an area that counts is a root; those of blocks that another way reached first, too.
    let others = graph.other_roots(held);
    let roots: Vec<u32> = roots.chain(cycles).chain(others).collect();
    let leaves = leaves(graph, &roots);
    let all = |block: u32| graph.out(block).map(|(to, _)| to);
    let out = |block: u32| all(block).filter(|&to| !leaves[to as usize]);
    let (vertex, dominator) = dominators(count, roots.into_iter(), out);
    let mut retained = vec![Retained::default(); count];
    let bytes = |block: usize| 8 * u64::from(graph.blocks.words[block]);
    for own in (1..vertex.len()).rev() {
        let block = vertex[own] as usize;
        let object = graph.owners[block].checked_sub(1);
        retained[block].objects += u64::from(object.is_some());
        retained[block].bytes += match object {
            Some(object) => graph.objects[object as usize].size,
            None => bytes(block),
        };
        let own_leaves = all(block as u32).filter(|&to| leaves[to as usize]);
        retained[block].bytes += own_leaves.map(|leaf| bytes(leaf as usize)).sum::<u64>();
        if dominator[own] != 0 {
            let Retained { objects, bytes } = retained[block];
            let above = &mut retained[vertex[dominator[own] as usize] as usize];
            above.objects += objects;
            above.bytes += bytes;
        }
    }
    retained
}

/// The blocks that lead nowhere and are pointed to once: what does so dominates them. Most are buffers, and there may be as
/// many as all else.
fn leaves(graph: &Graph<'_>, roots: &[u32]) -> Vec<bool> {
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
