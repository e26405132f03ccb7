//! Programs that are searched, each with its truth beside it. A program is a process of its own: `walk CASE …` runs
//! it on the system's allocator, `alloc CASE …` on `refscope::Alloc`; see `tests/cases.rs`.

#![allow(missing_docs)]

mod cycles;
#[path = "../../common/dead_stack.rs"]
mod dead_stack;
mod deceive;
mod roots;
mod strange;

use refscope::ObjectId;
use refscope::locate::{Doubt, Grade, Held, NodeKind, Owner, Ownership, Search};
use std::sync::atomic::{AtomicBool, Ordering};

pub use cycles::CYCLES;
pub use dead_stack::clear_dead_stack;
pub use deceive::DECEIVE;
pub use roots::ROOTS;
pub use strange::STRANGE;

/// A program: its name, and what it does. It asks while what it made is there.
pub type Case = (&'static str, fn(&Ask));

pub fn all() -> impl Iterator<Item = &'static Case> {
    CYCLES.iter().chain(ROOTS).chain(DECEIVE).chain(STRANGE)
}

/// How the question is asked.
pub struct Ask {
    search: Search,
    /// Blocks are known.
    blocks: bool,
    fork: bool,
    /// Each root and cycle is to be named.
    strict: bool,
    alone: bool,
}

/// The number of a pointer's object.
pub fn id<P: refscope::Inspect>(pointer: &P) -> u64 {
    refscope::holders(pointer).object().expect("the object is traced").id().number()
}

impl Ask {
    /// In a frame of its own, so that little of what earlier calls left lies between the caller and the search.
    #[inline(never)]
    fn search(&self) -> Box<Ownership> {
        Box::new(self.search.run().expect("the search works here"))
    }

    fn may_prove(&self) -> bool {
        self.blocks && (self.fork || self.alone)
    }

    /// Nothing holds what is built, but each other. Built in here, so that this frame is older than all copies.
    #[inline(never)]
    pub fn cycle(&self, build: fn() -> Vec<u64>) {
        let built = build();
        // Not in a block: what was in it before stands behind the numbers, and would be found.
        let mut few = [0; 8];
        let ids = match few.get_mut(..built.len()) {
            Some(few) => {
                few.copy_from_slice(&built);
                drop(built);
                &few[..]
            }
            None => {
                let ids = fresh(&built);
                drop(built);
                ids
            }
        };
        clear_dead_stack();
        let ownership = self.search();
        self.check_cycle(&ownership, ids);
    }

    fn check_cycle(&self, ownership: &Ownership, ids: &[u64]) {
        if !self.blocks {
            assert_nothing_proven(ownership);
            println!("quiet");
            return;
        }
        let mut ids: Vec<_> = ids.iter().map(|&id| ObjectId::from_number(id)).collect();
        ids.sort_unstable();
        if !self.strict && ownership.cycle_of(ids[0]).is_none_or(|cycle| cycle.objects != ids) {
            println!(
                "{}",
                ownership.path_to(ids[0]).map_or_else(String::new, |path| path.to_string())
            );
            println!("unnamed");
            return;
        }
        let cycle = ownership.cycle_of(ids[0]).unwrap_or_else(|| {
            let path = ownership.path_to(ids[0]).map(|path| path.to_string());
            let root = ownership.path(ids[0]).map(|(root, _)| root);
            panic!("no cycle: {} {root:x?}", path.unwrap_or_default())
        });
        assert_eq!(cycle.objects, ids, "the objects of the cycle");
        println!("{}", ownership.cycle_text(cycle));
        match &cycle.grade {
            Grade::Proven => {
                assert!(self.may_prove());
                println!("proven");
            }
            Grade::Likely(_) => println!("likely"),
        }
    }

    /// The search does not read what nobody touched.
    #[inline(never)]
    pub fn reads_less_than(&self, bytes: u64) {
        let ownership = self.search();
        assert!(!ownership.doubts.contains(&Doubt::Cut), "{:?}", ownership.doubts);
        assert!(ownership.statistics.bytes < bytes, "{} were read", ownership.statistics.bytes);
    }

    /// The object is held by this root, whatever lies between.
    #[inline(never)]
    pub fn root(&self, id: u64, is_root: impl Fn(&Owner) -> bool) {
        clear_dead_stack();
        let ownership = self.search();
        self.check_root(&ownership, id, is_root);
    }

    fn check_root(&self, ownership: &Ownership, id: u64, is_root: impl Fn(&Owner) -> bool) {
        assert_nothing_proven(ownership);
        if !self.blocks {
            println!("quiet");
            return;
        }
        let (held, _) = ownership.path(ObjectId::from_number(id)).expect("it is alive");
        let text = ownership.path_to(ObjectId::from_number(id)).expect("it is alive");
        println!("{text}");
        let is_named = matches!(held, Held::Root(root) if is_root(root));
        // The stack of a thread that did not stop in time is not known; then the search says that it is in doubt.
        let is_open = matches!(held, Held::Root(Owner::Unknown { .. }))
            && ownership.doubts.contains(&Doubt::Registers);
        assert!(is_named || is_open || !self.strict, "another root: {text}");
        println!("{}", if is_named { "root" } else { "unnamed" });
    }

    /// The object's only strong handle is stored so.
    #[inline(never)]
    pub fn owner(&self, id: u64, is_owner: impl Fn(&Owner, &Ownership) -> bool) {
        clear_dead_stack();
        let ownership = self.search();
        self.check_owner(&ownership, id, is_owner);
    }

    fn check_owner(
        &self,
        ownership: &Ownership,
        id: u64,
        is_owner: impl Fn(&Owner, &Ownership) -> bool,
    ) {
        assert_nothing_proven(ownership);
        let handles = ownership
            .handles_of(ObjectId::from_number(id))
            .iter()
            .filter(|handle| handle.is_strong);
        let owners: Vec<&Owner> = handles.map(|handle| &handle.owner).collect();
        println!("{owners:?}");
        assert_eq!(owners.len(), 1);
        let is_named = is_owner(owners[0], ownership);
        assert!(!self.blocks || !self.strict || is_named, "another owner");
        println!("{}", if is_named { "owner" } else { "unnamed" });
    }

    /// Something holds these: nothing may be proven of them.
    #[inline(never)]
    pub fn nothing_proven(&self) {
        clear_dead_stack();
        let ownership = self.search();
        self.check_nothing_proven(&ownership);
    }

    fn check_nothing_proven(&self, ownership: &Ownership) {
        for cycle in &ownership.cycles {
            println!("{}", ownership.cycle_text(cycle));
        }
        assert_nothing_proven(ownership);
        println!("nothing proven");
    }
}

/// A copy of the numbers in memory of their own, which no block was in before.
fn fresh(numbers: &[u64]) -> &'static [u64] {
    let (read_write, private) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let bytes = size_of_val(numbers);
    // SAFETY: TEST: new memory.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, read_write, private, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    // SAFETY: TEST: so many zeros, which are numbers, and stay for good.
    let fresh = unsafe { std::slice::from_raw_parts_mut(at.cast::<u64>(), numbers.len()) };
    fresh.copy_from_slice(numbers);
    fresh
}

fn assert_nothing_proven(ownership: &Ownership) {
    let proven = ownership.cycles.iter().find(|cycle| cycle.grade == Grade::Proven);
    if let Some(cycle) = proven {
        panic!("FALSE PROOF: {}", ownership.cycle_text(cycle));
    }
}

/// Whether the handle is in a block that an object's value points to.
pub fn is_in_block_of(owner: &Owner, ownership: &Ownership, object: u64) -> bool {
    let Owner::Block { node, .. } = owner else { return false };
    holder(ownership, *node).is_some_and(|by| is_object(ownership, by, object))
}

/// As [`is_in_block_of`], with any number of blocks between, such as a tree's nodes.
pub fn is_below(owner: &Owner, ownership: &Ownership, object: u64) -> bool {
    let Owner::Block { node, .. } = owner else { return false };
    let mut above = std::iter::successors(Some(*node), |&node| holder(ownership, node));
    let is_block = |node: u32| matches!(ownership.nodes[node as usize].kind, NodeKind::Block(_));
    above.find(|&node| !is_block(node)).is_some_and(|by| is_object(ownership, by, object))
}

/// The node that holds another.
fn holder(ownership: &Ownership, node: u32) -> Option<u32> {
    match &ownership.nodes[node as usize].held {
        Held::By(step) => Some(step.from),
        _ => None,
    }
}

fn is_object(ownership: &Ownership, node: u32, object: u64) -> bool {
    ownership.nodes[node as usize].kind == NodeKind::Object(ObjectId::from_number(object))
}

static AT_WORK: AtomicBool = AtomicBool::new(true);

/// A thread that allocates, frees and clones without a pause.
fn work(seed: usize) {
    let shared = refscope::Arc::new([seed; 8]);
    let mut kept = Vec::new();
    let mut turn = seed;
    while AT_WORK.load(Ordering::Relaxed) {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = turn >> 40 & 0xfff;
        kept.push((vec![turn; size / 8], shared.clone()));
        if kept.len() > 64 {
            kept.swap_remove(turn >> 20 & 63);
        }
    }
}

/// In a frame of its own, which is gone when the case begins.
#[inline(never)]
fn start_workers() {
    for seed in 0..2 {
        let builder = std::thread::Builder::new().name(format!("worker {seed}"));
        builder.spawn(move || work(seed)).expect("threads can be made");
    }
    std::thread::sleep(std::time::Duration::from_millis(20));
}

/// Runs one case: `CASE walk|both|alloc|around|neither fork|live alone|threads`.
pub fn run() {
    refscope::track().expect("nothing else is installed");
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [case, blocks, fork, threads] = args.as_slice() else {
        for (name, _) in all() {
            println!("{name}");
        }
        return;
    };
    let has = |list: &[Case]| list.iter().any(|(name, _)| name == case);
    let (_, body) = all().find(|(name, _)| name == case).expect("there is such a case");
    let (alone, fork) = (threads == "alone", fork == "fork");
    let ask = Ask {
        search: Search::new()
            .budget(std::time::Duration::from_secs(20))
            .fork(fork)
            .walk(["walk", "both", "around"].contains(&blocks.as_str()))
            .alloc(["alloc", "both", "around"].contains(&blocks.as_str())),
        blocks: blocks != "neither",
        fork,
        strict: fork,
        alone: alone && !has(DECEIVE),
    };
    if !alone {
        start_workers();
        clear_dead_stack();
    }
    body(&ask);
    // Without destructors: what was leaked on purpose is still there.
    std::process::exit(0);
}
