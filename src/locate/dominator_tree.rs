//! Immediate dominators: what every way from a root leads through.
//!
//! Lengauer and Tarjan's algorithm in its simple form, with path compression and without recursion.

/// No node.
const NONE: u32 = u32::MAX;

/// Returns what the roots reach by the edges `out`, numbered from 1 in the order of a depth-first search, and by number
/// the number of the immediate dominator: 0 where there is none.
pub(crate) fn dominators<I: Iterator<Item = u32>>(
    count: usize,
    roots: impl Iterator<Item = u32>,
    out: impl Fn(u32) -> I,
) -> (Vec<u32>, Vec<u32>) {
    // Numbers in the order of a depth-first search, from 1; 0 is the root of the roots, and "not reached".
    let mut number = vec![0_u32; count];
    let mut vertex = vec![u32::MAX];
    let mut parent = vec![0_u32];
    let mut roots_in_order = Vec::new();
    let mut stack = Vec::new();
    for root in roots {
        roots_in_order.push(root);
        if number[root as usize] != 0 {
            continue;
        }
        stack.push((root, 0));
        while let Some((block, from)) = stack.pop() {
            if number[block as usize] != 0 {
                continue;
            }
            let own = vertex.len() as u32;
            number[block as usize] = own;
            vertex.push(block);
            parent.push(from);
            stack.extend(out(block).filter(|&to| number[to as usize] == 0).map(|to| (to, own)));
        }
    }
    let reached = vertex.len();
    // Predecessors, by number: first where each one's end, then, as they are put in from behind, where they begin.
    let mut first = vec![0_u32; reached + 1];
    for &block in &vertex[1..] {
        for to in out(block) {
            first[number[to as usize] as usize] += 1;
        }
    }
    let mut sum = 0;
    for slot in &mut first {
        sum += *slot;
        *slot = sum;
    }
    let mut before = vec![0_u32; sum as usize];
    for (own, &block) in vertex.iter().enumerate().skip(1) {
        for to in out(block) {
            let slot = &mut first[number[to as usize] as usize];
            *slot -= 1;
            before[*slot as usize] = own as u32;
        }
    }
    let mut semi: Vec<u32> = (0..reached as u32).collect();
    let mut is_root = vec![false; reached];
    for root in roots_in_order {
        is_root[number[root as usize] as usize] = true;
    }
    drop(number);
    let mut forest = Forest { ancestor: vec![NONE; reached], label: (0..reached as u32).collect() };
    let mut bucket = vec![0_u32; reached];
    let mut following = vec![0_u32; reached];
    let mut dominator = vec![0_u32; reached];
    for own in (1..reached as u32).rev() {
        let at = own as usize;
        for &from in &before[first[at] as usize..first[at + 1] as usize] {
            let best = forest.eval(from, &semi);
            semi[at] = semi[at].min(semi[best as usize]);
        }
        // The root of the roots is before each of them.
        if is_root[at] {
            semi[at] = 0;
        }
        (following[at], bucket[semi[at] as usize]) = (bucket[semi[at] as usize], own);
        forest.ancestor[at] = parent[at];
        let above = parent[at];
        // Those whose semidominator is the parent.
        let mut waiting = std::mem::take(&mut bucket[above as usize]);
        while waiting != 0 {
            let best = forest.eval(waiting, &semi);
            let is_above = semi[best as usize] == semi[waiting as usize];
            dominator[waiting as usize] = if is_above { above } else { best };
            waiting = following[waiting as usize];
        }
    }
    for own in 1..reached {
        if dominator[own] != semi[own] {
            dominator[own] = dominator[dominator[own] as usize];
        }
    }
    (vertex, dominator)
}

struct Forest {
    /// [`NONE`] for the root of a tree.
    ancestor: Vec<u32>,
    label: Vec<u32>,
}

impl Forest {
    /// The vertex of the least semidominator on the way up to the root of the vertex's tree, without the root.
    fn eval(&mut self, vertex: u32, semi: &[u32]) -> u32 {
        if self.ancestor[vertex as usize] == NONE {
            return self.label[vertex as usize];
        }
        let mut way = Vec::new();
        let mut at = vertex;
        while self.ancestor[self.ancestor[at as usize] as usize] != NONE {
            way.push(at);
            at = self.ancestor[at as usize];
        }
        for at in way.into_iter().rev().map(|at| at as usize) {
            let above = self.ancestor[at] as usize;
            if semi[self.label[above] as usize] < semi[self.label[at] as usize] {
                self.label[at] = self.label[above];
            }
            self.ancestor[at] = self.ancestor[above];
        }
        self.label[vertex as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::dominators;

    /// By the definition: `a` dominates `b` if `b` can't be reached without `a`.
    fn slowly(edges: &[Vec<u32>], roots: &[u32]) -> Vec<Option<u32>> {
        let reach = |without: Option<u32>| {
            let mut seen = vec![false; edges.len()];
            let mut stack: Vec<u32> = roots.to_vec();
            while let Some(at) = stack.pop() {
                if Some(at) != without && !std::mem::replace(&mut seen[at as usize], true) {
                    stack.extend(&edges[at as usize]);
                }
            }
            seen
        };
        let all = reach(None);
        let strict: Vec<Vec<u32>> = (0..edges.len() as u32)
            .map(|at| {
                let dominates =
                    |by: &u32| *by != at && all[at as usize] && !reach(Some(*by))[at as usize];
                (0..edges.len() as u32).filter(dominates).collect()
            })
            .collect();
        // The immediate one is the one that all others dominate.
        let immediate =
            |at: usize| strict[at].iter().copied().max_by_key(|&by| strict[by as usize].len());
        (0..edges.len()).map(immediate).collect()
    }

    #[test]
    fn dominators_are_those_of_the_definition() {
        let mut state = 7_u64;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % limit.max(1)
        };
        for _ in 0..300 {
            let count = 1 + below(12);
            let mut edges: Vec<Vec<u32>> = vec![Vec::new(); count];
            for _ in 0..below(3 * count) {
                let (from, to) = (below(count), below(count));
                edges[from].push(to as u32);
            }
            let roots: Vec<u32> = (0..1 + below(3)).map(|_| below(count) as u32).collect();
            let (vertex, dominator) =
                dominators(count, roots.iter().copied(), |at| edges[at as usize].iter().copied());
            let mut found = vec![None; count];
            for own in 1..vertex.len() {
                found[vertex[own] as usize] =
                    (dominator[own] != 0).then(|| vertex[dominator[own] as usize]);
            }
            assert_eq!(found, slowly(&edges, &roots), "{edges:?} from {roots:?}");
        }
    }
}
