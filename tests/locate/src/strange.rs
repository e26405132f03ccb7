//! Memory of another kind than the heap, a static or a thread's own stack, and pointers that are no addresses: what holds a
//! ring there is named as far as it can be, and nothing is proven of it.

use crate::roots::{Node, Peer, peers, ring};
use crate::{Ask, Case, clear_dead_stack, id};
use refscope::locate::Owner;
use refscope::{Arc, Rc};
use std::cell::RefCell;
use std::collections::LinkedList;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const STRANGE: &[Case] = &[
    ("shared_memory", shared_memory),
    ("memory_file", memory_file),
    ("huge_pages", huge_pages),
    ("reserved", reserved),
    ("not_copied_by_a_fork", not_copied_by_a_fork),
    ("wiped_by_a_fork", wiped_by_a_fork),
    ("given_back", given_back),
    ("no_access", no_access),
    ("packed", packed),
    ("pipe", pipe),
    ("xor_list", xor_list),
    ("tag_in_the_high_bits", tag_in_the_high_bits),
    ("past_the_end", past_the_end),
    ("popped_from_its_own_block", popped_from_its_own_block),
    ("bump_arena", bump_arena),
    ("slot_map", slot_map),
    ("index_map", index_map),
    ("small_vec", small_vec),
    ("small_vec_cycle", small_vec_cycle),
    ("linked_list_in_a_static", linked_list_in_a_static),
    ("self_referential_future", self_referential_future),
    ("deferred", deferred),
    ("fiber", fiber),
    ("stack_of_its_own", stack_of_its_own),
    ("stack_on_the_heap", stack_on_the_heap),
];

/// Where the last ring is kept, or a number that tells it.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// What is built is gone from the stack, but for a number, when the question is asked.
fn after(build: fn(), ask: &Ask) {
    black_box(build)();
    clear_dead_stack();
    ask.nothing_proven();
    black_box(KEPT.load(Ordering::Relaxed));
}

/// As above; and the object with the number that was returned is held by such a root.
fn held(build: fn() -> u64, ask: &Ask, is_root: fn(&Owner) -> bool) {
    let id = black_box(build)();
    clear_dead_stack();
    ask.root(id, is_root);
    black_box(KEPT.load(Ordering::Relaxed));
}

fn is_static(owner: &Owner) -> bool {
    matches!(owner, Owner::Static(place) if place.image != "zero" && !place.image.contains("memfd"))
}

fn is_unknown(owner: &Owner) -> bool {
    matches!(owner, Owner::Unknown { .. })
}

const ROOM: usize = 1 << 16;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn map(size: usize, flags: i32, file: i32) -> *mut u8 {
    // SAFETY: TEST: new memory.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), size, READ_WRITE, flags, file, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}

const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// Puts a ring into such memory, and returns its number.
fn put(at: *mut u8) -> u64 {
    let ring = ring();
    let number = id(&ring);
    // SAFETY: TEST: within the mapping, and aligned.
    let to = unsafe { at.add(800) };
    // SAFETY: TEST: as above.
    unsafe { to.cast::<Rc<Node>>().write(ring) };
    KEPT.store(to.expose_provenance(), Ordering::Relaxed);
    number
}

fn shared_memory(ask: &Ask) {
    held(|| put(map(ROOM, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)), ask, is_unknown);
}

fn memory_file(ask: &Ask) {
    fn build() -> u64 {
        // SAFETY: TEST: a new file without a place.
        let file = unsafe { libc::memfd_create(c"ring".as_ptr(), 0) };
        // SAFETY: TEST: the file is new.
        unsafe { libc::ftruncate(file, ROOM as i64) };
        put(map(ROOM, libc::MAP_SHARED, file))
    }
    held(build, ask, is_unknown);
}

fn huge_pages(ask: &Ask) {
    fn build() -> u64 {
        let at = map(8 << 20, PRIVATE, -1);
        let at = at.map_addr(|at| at.next_multiple_of(2 << 20));
        // SAFETY: TEST: within the mapping.
        unsafe { libc::madvise(at.cast(), 4 << 20, libc::MADV_HUGEPAGE) };
        put(at)
    }
    held(build, ask, is_unknown);
}

/// Four gigabytes that were reserved, of which three pages have something: one of them is a part of a large page, and some have
/// been read alone.
fn reserved(ask: &Ask) {
    const SIZE: usize = 4 << 30;
    const LARGE: usize = 2 << 20;
    fn build() -> [u64; 3] {
        let at = map(SIZE, PRIVATE | libc::MAP_NORESERVE, -1);
        let large = at.map_addr(|at| (at + SIZE / 4).next_multiple_of(LARGE));
        // SAFETY: TEST: within the mapping.
        unsafe { libc::madvise(large.cast(), 2 * LARGE, libc::MADV_HUGEPAGE) };
        for read in [SIZE / 2, SIZE / 2 + (1 << 20), SIZE - (1 << 20)] {
            // SAFETY: TEST: within the mapping.
            assert_eq!(unsafe { at.wrapping_add(read).read_volatile() }, 0);
        }
        // SAFETY: TEST: within the mapping.
        assert_eq!(unsafe { large.wrapping_add(LARGE).read_volatile() }, 0);
        [at, large.wrapping_add(LARGE / 2), at.wrapping_add(SIZE - (1 << 16))].map(put)
    }
    let ids = black_box(build)();
    clear_dead_stack();
    ask.reads_less_than(1 << 30);
    for id in ids {
        ask.root(id, is_unknown);
    }
    black_box(KEPT.load(Ordering::Relaxed));
}

/// Says of memory with a ring in it what is to become of it.
fn advised(advice: i32) {
    let at = map(ROOM, PRIVATE, -1);
    put(at);
    // SAFETY: TEST: the test's own memory.
    unsafe { libc::madvise(at.cast(), ROOM, advice) };
}

fn not_copied_by_a_fork(ask: &Ask) {
    after(|| advised(libc::MADV_DONTFORK), ask);
}

fn wiped_by_a_fork(ask: &Ask) {
    after(|| advised(libc::MADV_WIPEONFORK), ask);
}

/// The system may take it whenever it likes; nobody asks for it any more.
fn given_back(ask: &Ask) {
    after(|| advised(libc::MADV_FREE), ask);
}

fn no_access(ask: &Ask) {
    fn build() {
        let at = map(ROOM, PRIVATE, -1);
        put(at);
        // SAFETY: TEST: the test's own memory.
        unsafe { libc::mprotect(at.cast(), ROOM, libc::PROT_NONE) };
    }
    after(build, ask);
}

/// The handle's words are not aligned.
fn packed(ask: &Ask) {
    #[repr(C, packed)]
    struct Packed(u8, Rc<Node>);
    fn build() {
        let packed = Box::leak(Box::new(Packed(1, ring())));
        KEPT.store(std::ptr::from_ref(packed).expose_provenance(), Ordering::Relaxed);
        black_box(packed.0);
    }
    after(build, ask);
}

/// The kernel has the handle's words.
fn pipe(ask: &Ask) {
    fn build() {
        let words = crate::roots::words_of(ring());
        let mut ends = [0; 2];
        // SAFETY: TEST: writes two numbers.
        unsafe { libc::pipe(ends.as_mut_ptr()) };
        // SAFETY: TEST: reads sixteen bytes.
        unsafe { libc::write(ends[1], words.as_ptr().cast(), 16) };
        KEPT.store(ends[0] as usize, Ordering::Relaxed);
    }
    after(build, ask);
}

/// A list in which each node has the two addresses beside it in one word.
fn xor_list(ask: &Ask) {
    struct Link {
        _both: usize,
        _ring: Rc<Node>,
    }
    fn build() {
        let mut before = 0;
        let mut links: Vec<*mut Link> = Vec::new();
        for _ in 0..4 {
            links.push(Box::into_raw(Box::new(Link { _both: 0, _ring: ring() })));
        }
        for at in 0..4 {
            let next = links.get(at + 1).map_or(0, |next| next.expose_provenance());
            // SAFETY: TEST: the link was leaked, and nobody else uses it.
            unsafe { (*links[at])._both = before ^ next };
            before = links[at].expose_provenance();
        }
        KEPT.store(links[0].expose_provenance() ^ 0x5555_5555_5555, Ordering::Relaxed);
        // The list of them is no longer than they are: what is in it would be found.
        links.fill(std::ptr::null_mut());
        black_box(&links);
    }
    after(build, ask);
}

fn tag_in_the_high_bits(ask: &Ask) {
    fn build() {
        let boxed = Box::into_raw(Box::new((1_u64, ring(), 2_u64)));
        KEPT.store(boxed.expose_provenance() | 7 << 60, Ordering::Relaxed);
    }
    after(build, ask);
}

/// As the end of an iterator: one past the last element, which is the next block's header.
fn past_the_end(ask: &Ask) {
    fn build() {
        let list: Box<[Rc<Node>]> = (0..63).map(|_| ring()).collect();
        let range = Box::leak(list).as_ptr_range();
        KEPT.store(range.end.expose_provenance(), Ordering::Relaxed);
    }
    after(build, ask);
}

/// The ring's own block has a copy, and the true one is in a block that no address leads to.
fn popped_from_its_own_block(ask: &Ask) {
    struct Pop(RefCell<Vec<Rc<Pop>>>);
    fn build() {
        let pop = Rc::new(Pop(RefCell::default()));
        pop.0.borrow_mut().push(pop.clone());
        pop.0.borrow_mut().push(pop.clone());
        let popped = pop.0.borrow_mut().pop();
        let boxed = Box::into_raw(Box::new((1_u64, popped, [0_u64; 20])));
        KEPT.store(!boxed.expose_provenance(), Ordering::Relaxed);
    }
    after(build, ask);
}

struct Sending<T>(T);
// SAFETY: TEST: only the main thread uses what is in it.
unsafe impl<T> Send for Sending<T> {}

static ARENA: Mutex<Option<Sending<bumpalo::Bump>>> = Mutex::new(None);

fn bump_arena(ask: &Ask) {
    fn build() -> u64 {
        let mut arena = ARENA.lock().expect("not poisoned");
        let arena = &arena.insert(Sending(bumpalo::Bump::new())).0;
        for _ in 0..100 {
            arena.alloc([1_u64; 9]);
        }
        let ring = ring();
        let number = id(&ring);
        arena.alloc((1_u64, ring));
        number
    }
    held(build, ask, is_static);
}

static SLOTS: Mutex<Option<slotmap::SlotMap<slotmap::DefaultKey, Arc<Peer>>>> = Mutex::new(None);

fn slot_map(ask: &Ask) {
    fn build() -> u64 {
        let mut slots = SLOTS.lock().expect("not poisoned");
        let slots = slots.insert(slotmap::SlotMap::new());
        let keys: Vec<_> = (0..20).map(|_| slots.insert(Arc::new(Peer::default()))).collect();
        slots.remove(keys[3]);
        let peers = peers();
        let number = id(&peers);
        slots.insert(peers);
        number
    }
    held(build, ask, is_static);
}

static INDEXED: Mutex<Option<indexmap::IndexMap<u32, Arc<Peer>>>> = Mutex::new(None);

fn index_map(ask: &Ask) {
    fn build() -> u64 {
        let mut map = INDEXED.lock().expect("not poisoned");
        let map = map.insert(indexmap::IndexMap::new());
        let peers = peers();
        let number = id(&peers);
        for key in 0..50 {
            map.insert(key, Arc::new(Peer::default()));
        }
        map.insert(7, peers);
        map.swap_remove(&3);
        number
    }
    held(build, ask, is_static);
}

static SMALL: Mutex<smallvec::SmallVec<[Option<Arc<Peer>>; 2]>> =
    Mutex::new(smallvec::SmallVec::new_const());

fn small_vec(ask: &Ask) {
    fn build() -> u64 {
        let peers = peers();
        let number = id(&peers);
        let mut small = SMALL.lock().expect("not poisoned");
        small.extend([None, None, Some(peers)]);
        assert!(small.spilled());
        number
    }
    held(build, ask, is_static);
}

fn small_vec_cycle(ask: &Ask) {
    fn build() -> Vec<u64> {
        struct Small(RefCell<smallvec::SmallVec<[Rc<Small>; 2]>>);
        let nodes = [(); 3].map(|()| Rc::new(Small(RefCell::default())));
        for (at, node) in nodes.iter().enumerate() {
            for _ in 0..=at {
                node.0.borrow_mut().push(nodes[(at + 1) % 3].clone());
            }
        }
        nodes.iter().map(id).collect()
    }
    ask.cycle(build);
}

static LINKED: Mutex<LinkedList<Arc<Peer>>> = Mutex::new(LinkedList::new());

fn linked_list_in_a_static(ask: &Ask) {
    fn build() -> u64 {
        let mut list = LINKED.lock().expect("not poisoned");
        list.extend([(); 3].map(|()| Arc::new(Peer::default())));
        let peers = peers();
        let number = id(&peers);
        list.push_back(peers);
        number
    }
    held(build, ask, is_static);
}

/// It holds an `Rc` of what owns it, by a borrow of its own local.
fn self_referential_future(ask: &Ask) {
    type Task = std::pin::Pin<Box<dyn Future<Output = ()>>>;
    struct Job(RefCell<Option<Task>>);
    fn build() -> Vec<u64> {
        let job = Rc::new(Job(RefCell::default()));
        let captured = job.clone();
        let mut task: Task = Box::pin(async move {
            let local = [captured, Rc::new(Job(RefCell::default()))];
            let borrowed = &local[0];
            std::future::pending::<()>().await;
            drop(Rc::clone(borrowed));
        });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(task.as_mut().poll(&mut context).is_pending());
        *job.0.borrow_mut() = Some(task);
        vec![id(&job)]
    }
    ask.cycle(build);
}

/// What waits to be dropped, once no thread may read it any more.
fn deferred(ask: &Ask) {
    fn build() -> u64 {
        let peers = peers();
        let number = id(&peers);
        let guard = crossbeam_epoch::pin();
        // SAFETY: TEST: what is deferred may run on any thread.
        unsafe { guard.defer_unchecked(move || drop(peers)) };
        number
    }
    let root = |owner: &Owner| is_static(owner) || matches!(owner, Owner::ThreadLocal(_));
    held(build, ask, root);
}

/// A stack without a thread: it waits to be gone on with. (Of musl's allocator the search takes the mapping for a part: the system
/// makes one of two that lie side by side.)
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn fiber(ask: &Ask) {
    use std::sync::atomic::AtomicPtr;
    static SAVED: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
    /// Has a ring on its stack, and goes back to the thread's.
    extern "C" fn on_the_fiber(number: &AtomicUsize) {
        let ring = ring();
        number.store(id(&ring) as usize, Ordering::Relaxed);
        // SAFETY: TEST: the other stack waits for this; all registers of this one's caller are dead.
        unsafe {
            std::arch::asm!(
                "xchg rsp, [{saved}]",
                "ret",
                saved = in(reg) SAVED.as_ptr(),
                options(noreturn),
            );
        }
    }
    #[inline(never)]
    fn build() -> u64 {
        let number = AtomicUsize::new(0);
        // SAFETY: TEST: the end of the mapping.
        let stack = unsafe { map(1 << 20, PRIVATE, -1).add(1 << 20) };
        SAVED.store(stack, Ordering::Relaxed);
        // SAFETY: TEST: the fiber comes back by the address that is pushed.
        unsafe {
            std::arch::asm!(
                "push rbx",
                "push rbp",
                "lea rax, [rip + 2f]",
                "push rax",
                "xchg rsp, [r12]",
                "call {call}",
                "2:",
                "pop rbp",
                "pop rbx",
                call = sym on_the_fiber,
                in("rdi") &number,
                inout("r12") SAVED.as_ptr() => _,
                out("r13") _,
                out("r14") _,
                out("r15") _,
                clobber_abi("C"),
            );
        }
        number.load(Ordering::Relaxed) as u64
    }
    let number = black_box(build)();
    clear_dead_stack();
    ask.root(number, is_unknown);
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
fn fiber(ask: &Ask) {
    huge_pages(ask);
}

/// Starts a thread on such a stack, which has a ring and waits.
fn thread_on(stack: *mut u8, size: usize) -> u64 {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn run(_: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: TEST: names this thread.
        unsafe { libc::prctl(libc::PR_SET_NAME, c"odd".as_ptr()) };
        let peers = peers();
        NUMBER.store(id(&peers) as usize, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(1000));
        drop(black_box(peers));
        std::ptr::null_mut()
    }
    let mut attributes = std::mem::MaybeUninit::uninit();
    let mut thread = std::mem::MaybeUninit::uninit();
    // SAFETY: TEST: writes the attributes.
    unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
    // SAFETY: TEST: the stack is the thread's for good.
    unsafe { libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack.cast(), size) };
    // SAFETY: TEST: the attributes are written.
    let made = unsafe {
        libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, std::ptr::null_mut())
    };
    assert_eq!(made, 0);
    while NUMBER.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(30));
    NUMBER.load(Ordering::Relaxed) as u64
}

fn is_odd_stack(owner: &Owner) -> bool {
    matches!(owner, Owner::Stack { thread } if &**thread == "odd")
}

/// Without a guard, beside other memory.
fn stack_of_its_own(ask: &Ask) {
    held(|| thread_on(map(1 << 18, PRIVATE, -1), 1 << 18), ask, is_odd_stack);
}

fn stack_on_the_heap(ask: &Ask) {
    fn build() -> u64 {
        let stack = Box::leak(vec![0_u128; 1 << 14].into_boxed_slice());
        thread_on(stack.as_mut_ptr().cast(), 1 << 18)
    }
    held(build, ask, is_odd_stack);
}
