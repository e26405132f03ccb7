//! Programs that hide what holds a ring: nothing may be proven of it.

use crate::roots::{Node, ring};
use crate::{Ask, Case, id};
use refscope::Rc;
use std::cell::RefCell;
use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

pub const DECEIVE: &[Case] = &[
    ("c_malloc", c_malloc),
    ("c_malloc_after_free", c_malloc_after_free),
    ("mmap", mmap),
    ("mmap_read_only", mmap_read_only),
    ("mmap_like_a_chunk", mmap_like_a_chunk),
    ("running_register", running_register),
    ("vector_register", vector_register),
    ("waiting_register", waiting_register),
    ("blocked_register", blocked_register),
    ("late_register", late_register),
    ("tagged_pointer", tagged_pointer),
    ("interior_pointer", interior_pointer),
    ("popped_slot", popped_slot),
    ("forgotten_in_a_frame", forgotten_in_a_frame),
    ("std_rc_also_local", std_rc_also_local),
    ("std_rc_also_forgotten", std_rc_also_forgotten),
    ("std_clone", std_clone),
    ("weak_in_a_static", weak_in_a_static),
    ("plain_pointer", plain_pointer),
    ("memory_file_read_only", memory_file_read_only),
    ("coroutine_stack", coroutine_stack),
    ("red_zone", red_zone),
    ("adopted_weak", adopted_weak),
    ("slots_of_a_chunk", slots_of_a_chunk),
    ("like_free_lists", like_free_lists),
];

static KEPT: AtomicPtr<Rc<Node>> = AtomicPtr::new(std::ptr::null_mut());

fn keep(at: *mut Rc<Node>, node: Rc<Node>) {
    // SAFETY: TEST: the caller's memory has room for a handle.
    unsafe { at.write(node) };
    KEPT.store(at, Ordering::Relaxed);
}

fn after<R>(build: fn() -> R, ask: &Ask) {
    let built = black_box(build)();
    ask.nothing_proven();
    // Or the compiler would leave out the stores to them.
    black_box((&built, KEPT.load(Ordering::Relaxed), TAGGED.load(Ordering::Relaxed)));
}

fn c_malloc(ask: &Ask) {
    // SAFETY: TEST: the block has room for a handle.
    after(|| keep(unsafe { libc::malloc(64) }.cast(), ring()), ask);
}

/// The block was Rust's before.
fn c_malloc_after_free(ask: &Ask) {
    fn build() {
        let ring = ring();
        for size in [48, 64, 200, 5000] {
            drop(vec![ring.clone(); size / 16]);
        }
        // SAFETY: TEST: the blocks have room for a handle.
        let blocks = [48, 64, 200, 5000].map(|size| unsafe { libc::malloc(size) });
        keep(blocks[2].cast(), ring);
    }
    after(build, ask);
}

fn map() -> *mut u64 {
    let (read_write, private) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: TEST: new memory.
    unsafe { libc::mmap(std::ptr::null_mut(), 1 << 16, read_write, private, -1, 0) }.cast()
}

fn mmap(ask: &Ask) {
    // SAFETY: TEST: within the mapping.
    after(|| keep(unsafe { map().add(100) }.cast(), ring()), ask);
}

fn mmap_read_only(ask: &Ask) {
    fn build() {
        let at = map();
        keep(at.cast(), ring());
        // SAFETY: TEST: it is not written any more.
        unsafe { libc::mprotect(at.cast(), 1 << 16, libc::PROT_READ) };
    }
    after(build, ask);
}

/// Memory that begins as one of glibc's own mappings does, and is held by a pointer that is not to its beginning.
fn mmap_like_a_chunk(ask: &Ask) {
    fn build() {
        let at = map();
        // SAFETY: TEST: within the mapping.
        let second = unsafe { at.add(1) };
        // SAFETY: TEST: as above.
        unsafe { second.write(1 << 16 | 2) };
        // SAFETY: TEST: within the mapping.
        keep(unsafe { at.add(100) }.cast(), ring());
    }
    after(build, ask);
}

static GO_ON: AtomicBool = AtomicBool::new(true);
static READY: AtomicUsize = AtomicUsize::new(0);

/// A thread that runs, waits or computes with the two words of a handle in registers alone.
fn with_words(hold: fn([u64; 2])) {
    std::thread::spawn(move || {
        let words = crate::roots::words_of(ring());
        hold(words);
    });
    while READY.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(30));
}

/// Never ends, with the words in registers.
#[cfg(target_arch = "x86_64")]
fn spin_with([one, two]: [u64; 2]) {
    // SAFETY: TEST: touches the two statics alone, and never ends.
    unsafe {
        std::arch::asm!(
            "mov qword ptr [{ready}], 1",
            "2:",
            "pause",
            "cmp byte ptr [{go}], 0",
            "jne 2b",
            ready = in(reg) READY.as_ptr(),
            go = in(reg) GO_ON.as_ptr(),
            in("r12") one,
            in("r13") two,
        );
    }
}

#[cfg(target_arch = "x86_64")]
fn running_register(ask: &Ask) {
    with_words(spin_with);
    ask.nothing_proven();
}

#[cfg(target_arch = "x86_64")]
fn vector_register(ask: &Ask) {
    with_words(|[one, two]| {
        // SAFETY: TEST: touches the two statics alone, and never ends.
        unsafe {
            std::arch::asm!(
                "movq xmm9, {one}",
                "movq xmm10, {two}",
                "punpcklqdq xmm9, xmm10",
                "xor {one}, {one}",
                "xor {two}, {two}",
                "pxor xmm10, xmm10",
                "mov qword ptr [{ready}], 1",
                "2:",
                "pause",
                "cmp byte ptr [{go}], 0",
                "jne 2b",
                ready = in(reg) READY.as_ptr(),
                go = in(reg) GO_ON.as_ptr(),
                one = inout(reg) one => _,
                two = inout(reg) two => _,
                out("xmm9") _,
                out("xmm10") _,
            );
        }
    });
    ask.nothing_proven();
}

/// It waits in the kernel, with the words in registers that the system call keeps.
#[cfg(target_arch = "x86_64")]
fn waiting_register(ask: &Ask) {
    with_words(|[one, two]| {
        // SAFETY: TEST: waits for a signal, again and again.
        unsafe {
            std::arch::asm!(
                "mov qword ptr [{ready}], 1",
                "2:",
                "mov eax, 34",
                "syscall",
                "jmp 2b",
                ready = in(reg) READY.as_ptr(),
                in("r12") one,
                in("r13") two,
                options(noreturn),
            );
        }
    });
    ask.nothing_proven();
}

/// Its thread blocks all signals, and so cannot be stopped.
#[cfg(target_arch = "x86_64")]
fn blocked_register(ask: &Ask) {
    with_words(|words| {
        let mut all = std::mem::MaybeUninit::uninit();
        // SAFETY: TEST: fills the set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: TEST: the set was filled.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
        spin_with(words);
    });
    ask.nothing_proven();
}

/// Its thread does not come to handle a signal: it waits for a child that has its memory.
#[cfg(target_arch = "x86_64")]
fn late_register(ask: &Ask) {
    with_words(|[one, two]| {
        // SAFETY: TEST: the child touches no memory, and ends with its parent.
        unsafe {
            std::arch::asm!(
                "mov qword ptr [{ready}], 1",
                "2:",
                "mov eax, 58", // vfork
                "syscall",
                "test eax, eax",
                "jnz 2b",
                "mov edi, 1", // PR_SET_PDEATHSIG, SIGKILL
                "mov esi, 9",
                "mov eax, 157", // prctl
                "syscall",
                "3:",
                "mov eax, 34", // pause
                "syscall",
                "jmp 3b",
                ready = in(reg) READY.as_ptr(),
                in("r12") one,
                in("r13") two,
                options(noreturn),
            );
        }
    });
    ask.nothing_proven();
}

/// A function without calls of its own keeps the words below its stack pointer.
#[cfg(target_arch = "x86_64")]
fn red_zone(ask: &Ask) {
    with_words(|[one, two]| {
        // SAFETY: TEST: the red zone is not used by anyone else, and the loop never ends.
        unsafe {
            std::arch::asm!(
                "mov qword ptr [rsp - 120], {one}",
                "mov qword ptr [rsp - 112], {two}",
                "xor {one}, {one}",
                "xor {two}, {two}",
                "mov qword ptr [{ready}], 1",
                "2:",
                "pause",
                "cmp byte ptr [{go}], 0",
                "jne 2b",
                ready = in(reg) READY.as_ptr(),
                go = in(reg) GO_ON.as_ptr(),
                one = inout(reg) one => _,
                two = inout(reg) two => _,
            );
        }
    });
    ask.nothing_proven();
}

#[cfg(not(target_arch = "x86_64"))]
use self::{
    mmap as running_register, mmap as vector_register, mmap as waiting_register, mmap as red_zone,
};

static TAGGED: AtomicUsize = AtomicUsize::new(0);

fn tagged_pointer(ask: &Ask) {
    fn build() {
        let boxed = Box::into_raw(Box::new(ring()));
        TAGGED.store(boxed.expose_provenance() | 5, Ordering::Relaxed);
    }
    after(build, ask);
}

fn interior_pointer(ask: &Ask) {
    fn build() {
        let list: Box<[Rc<Node>]> = (0..1000).map(|_| ring()).collect();
        let inner = &Box::leak(list)[700];
        TAGGED.store(std::ptr::from_ref(inner).expose_provenance(), Ordering::Relaxed);
    }
    after(build, ask);
}

/// The handle that holds the ring was popped, and a copy stands in the ring's own `Vec`.
fn popped_slot(ask: &Ask) {
    struct Pop(RefCell<Vec<Rc<Pop>>>);
    #[inline(never)]
    fn build() -> Rc<Pop> {
        let pop = Rc::new(Pop(RefCell::default()));
        pop.0.borrow_mut().push(pop.clone());
        pop.0.borrow_mut().push(pop.clone());
        let popped = pop.0.borrow_mut().pop();
        popped.expect("there are two")
    }
    after(build, ask);
}

#[inline(never)]
fn forgotten_in_a_frame(ask: &Ask) {
    let ring = ManuallyDrop::new(ring());
    ask.nothing_proven();
    black_box(&ring);
}

struct Outer(RefCell<Option<std::rc::Rc<Inner>>>);
struct Inner(#[allow(dead_code)] Rc<Outer>);

#[inline(never)]
fn by_std() -> std::rc::Rc<Inner> {
    let outer = Rc::new(Outer(RefCell::default()));
    let inner = std::rc::Rc::new(Inner(outer.clone()));
    *outer.0.borrow_mut() = Some(inner.clone());
    inner
}

fn std_rc_also_local(ask: &Ask) {
    after(by_std, ask);
}

/// The other owner can't be found, but it is counted.
fn std_rc_also_forgotten(ask: &Ask) {
    fn build() {
        let encoded = std::rc::Rc::into_raw(by_std()).expose_provenance() ^ usize::MAX >> 1;
        TAGGED.store(encoded, Ordering::Relaxed);
    }
    after(build, ask);
}

/// An owner of std's that refscope does not count, encoded.
fn std_clone(ask: &Ask) {
    use refscope::StdPtr;
    fn build() {
        let owner = ring().as_std().clone();
        let encoded = std::rc::Rc::into_raw(owner).expose_provenance() ^ usize::MAX >> 1;
        TAGGED.store(encoded, Ordering::Relaxed);
    }
    after(build, ask);
}

fn weak_in_a_static(ask: &Ask) {
    fn build() {
        let weak = Box::new(Rc::downgrade(&ring()));
        TAGGED.store(Box::into_raw(weak).expose_provenance(), Ordering::Relaxed);
    }
    after(build, ask);
}

/// A plain pointer to the value, by which the program may take a handle back.
fn plain_pointer(ask: &Ask) {
    fn build() {
        let value: *const Node = &*ring();
        TAGGED.store(value.expose_provenance(), Ordering::Relaxed);
    }
    after(build, ask);
}

/// The program reads what it wrote by a mapping that is gone.
fn memory_file_read_only(ask: &Ask) {
    fn map(file: i32, protection: i32) -> *mut usize {
        // SAFETY: TEST: a new mapping.
        let at = unsafe {
            libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, file, 0)
        };
        assert_ne!(at, libc::MAP_FAILED);
        at.cast()
    }
    fn build() {
        // SAFETY: TEST: a new file without a place.
        let file = unsafe { libc::memfd_create(c"node".as_ptr(), 0) };
        // SAFETY: TEST: the file is new.
        unsafe { libc::ftruncate(file, 4096) };
        let value: *const Node = &*ring();
        let at = map(file, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: TEST: there is room for it.
        unsafe { at.write(value.expose_provenance()) };
        // SAFETY: TEST: nothing of the mapping is used any more.
        unsafe { libc::munmap(at.cast(), 4096) };
        map(file, libc::PROT_READ);
    }
    after(build, ask);
}

/// A thread that runs on a stack of its own making, while the other one waits.
#[cfg(target_arch = "x86_64")]
fn coroutine_stack(ask: &Ask) {
    extern "C" fn on_the_other(ask: &Ask) {
        ask.nothing_proven();
    }
    let ring = ring();
    let number = id(&ring);
    // SAFETY: TEST: the function returns to the stack that it was called from.
    unsafe {
        std::arch::asm!(
            "mov r12, rsp",
            "mov rsp, {stack}",
            "call {call}",
            "mov rsp, r12",
            stack = in(reg) large_stack(),
            call = sym on_the_other,
            in("rdi") ask,
            out("r12") _,
            clobber_abi("C"),
        );
    }
    black_box((&ring, number));
}

#[cfg(target_arch = "x86_64")]
fn large_stack() -> *mut u8 {
    let size = 8 << 20;
    let (read_write, private) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: TEST: new memory.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), size, read_write, private, -1, 0) };
    // SAFETY: TEST: its end.
    unsafe { start.cast::<u8>().add(size) }
}

#[cfg(not(target_arch = "x86_64"))]
use self::mmap as coroutine_stack;

/// What a static has is known by a weak pointer of std's alone, which does not tell the value's size.
fn adopted_weak(ask: &Ask) {
    #[allow(dead_code)]
    struct Hub {
        list: Box<List>,
    }
    struct List {
        nodes: RefCell<Vec<Rc<Leaf>>>,
    }
    #[allow(dead_code)]
    struct Leaf {
        list: *const List,
    }
    static HUB: AtomicPtr<std::rc::Rc<Hub>> = AtomicPtr::new(std::ptr::null_mut());
    fn build() -> refscope::rc::Weak<Hub> {
        let hub = std::rc::Rc::new(Hub { list: Box::new(List { nodes: RefCell::default() }) });
        let list = &raw const *hub.list;
        for _ in 0..3 {
            hub.list.nodes.borrow_mut().push(Rc::new(Leaf { list }));
        }
        let weak = refscope::StdPtr::from_std(std::rc::Rc::downgrade(&hub));
        HUB.store(Box::into_raw(Box::new(hub)), Ordering::Relaxed);
        weak
    }
    let weak = black_box(build as fn() -> _)();
    ask.nothing_proven();
    black_box((&weak, HUB.load(Ordering::Relaxed)));
}

/// An allocator of the program's has its blocks in one of the system's: the first one is a traced value, the second has what a
/// static holds.
fn slots_of_a_chunk(ask: &Ask) {
    static SLOTS: AtomicPtr<u64> = AtomicPtr::new(std::ptr::null_mut());
    fn build() {
        let words = Box::leak(vec![0_u64; 8_000].into_boxed_slice());
        words[400] = Rc::as_ptr(&ring()).expose_provenance() as u64;
        let words = words.as_mut_ptr();
        // SAFETY: TEST: within the block.
        SLOTS.store(unsafe { words.add(400) }, Ordering::Relaxed);
        // A value of its own allocation, as a handle of refscope's would name it.
        // SAFETY: TEST: the block has room for a `u64` at its beginning, and is never freed.
        let first = unsafe { std::boxed::Box::from_raw(words) };
        std::mem::forget(refscope::Box::<u64>::from(first));
    }
    black_box(build as fn())();
    ask.nothing_proven();
    black_box(SLOTS.load(Ordering::Relaxed));
}

/// A table of the program's that looks like glibc's own: how many are on each list, and the first of each.
fn like_free_lists(ask: &Ask) {
    #[repr(C)]
    struct Lists {
        counts: [u16; 64],
        first: [*const *const Node; 64],
    }
    static LISTS: AtomicPtr<Lists> = AtomicPtr::new(std::ptr::null_mut());
    fn build() {
        let mut lists = Box::new(Lists { counts: [0; 64], first: [std::ptr::null(); 64] });
        for list in [0, 3, 7] {
            // As long as those on such a list of glibc's.
            let item = Box::leak(vec![std::ptr::null(); 3 + 2 * list].into_boxed_slice());
            item[0] = Rc::as_ptr(&ring());
            (lists.counts[list], lists.first[list]) = (1, item.as_ptr());
        }
        LISTS.store(Box::into_raw(lists), Ordering::Relaxed);
    }
    black_box(build as fn())();
    ask.nothing_proven();
    black_box(LISTS.load(Ordering::Relaxed));
}
