//! Stacks of real calls: the user's line behind std, derives, closures and the rest, in whatever build this is compiled:
//! `.ci/run` has it in debug and release, with and without frame pointers. And walks that have to end early.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![cfg(all(feature = "trace", not(miri)))]

use refscope::stack::{self, StackId};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::panic::Location;

/// Stands for a traced pointer: says where it was cloned and dropped.
#[derive(Debug)]
struct Spy(bool);

#[derive(Clone, Copy)]
struct Seen {
    location: Option<&'static Location<'static>>,
    stack: Option<StackId>,
}

thread_local! {
    static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
}

fn see(location: Option<&'static Location<'static>>, stack: Option<StackId>) {
    SEEN.with_borrow_mut(|seen| seen.push(Seen { location, stack }));
}

impl Clone for Spy {
    #[track_caller]
    fn clone(&self) -> Self {
        see(Some(Location::caller()), stack::capture(64)); // <- spy
        Self(false)
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        if self.0 {
            see(None, stack::capture(64)); // <- spy
        }
    }
}

/// What the one clone or drop in `f` saw.
fn seen(f: impl FnOnce()) -> Seen {
    SEEN.take();
    f();
    let seen = SEEN.take();
    *seen.first().expect("a clone or drop of a spy")
}

#[derive(Clone)]
struct Inner {
    _spy: Spy,
}

#[derive(Clone)]
struct Middle(#[allow(dead_code)] Inner, #[allow(dead_code)] u8);

#[derive(
    Debug, // what a derive's location looks like over several lines
    Clone,
)]
enum Outer<T> {
    Some {
        _value: T,
    },
    #[allow(dead_code)]
    None,
}

impl std::fmt::Debug for Middle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Middle")
    }
}

/// A clone written by hand, between a derive and the user.
struct ByHand(Middle);

impl Clone for ByHand {
    fn clone(&self) -> Self {
        // Otherwise it is the same code as the derived one, and optimised into it.
        black_box(&self.0);
        Self(self.0.clone()) // <- by hand
    }
}

#[inline(never)]
#[allow(clippy::ptr_arg)] // a vector is what is cloned
fn vec_clone(spies: &Vec<Spy>) {
    black_box(spies.clone()); // <- vec
}

#[inline(never)]
fn cloned(spy: Option<&Spy>) {
    black_box(spy.cloned()); // <- option
}

#[inline(never)]
fn vec_of(spy: Spy) {
    black_box(vec![spy; 3]); // <- vec of
}

#[inline(never)]
fn map_clone(map: &BTreeMap<u8, Spy>) {
    black_box(map.clone()); // <- map
}

#[inline(never)]
#[allow(clippy::iter_cloned_collect)] // that is what is tested
fn collect(spies: &[Spy]) {
    black_box(spies.iter().cloned().collect::<Vec<_>>()); // <- collect
}

#[inline(never)]
fn resize(spies: &mut Vec<Spy>, spy: Spy) {
    spies.resize(4, spy); // <- resize
    // Otherwise the call is a jump, where it is optimised, and this function is left already.
    black_box(spies);
}

#[inline(never)]
fn into_owned(cow: Cow<'_, [Spy]>) {
    black_box(cow.into_owned()); // <- cow
}

#[inline(never)]
fn derived_once(value: &Inner) {
    black_box(value.clone()); // <- derived once
}

#[inline(never)]
fn derived_twice(value: &Middle) {
    black_box(value.clone()); // <- derived twice
}

#[inline(never)]
fn derived_thrice(value: &Outer<Middle>) {
    black_box(value.clone()); // <- derived thrice
}

#[inline(never)]
#[allow(clippy::ptr_arg)] // a vector is what is cloned
fn derived_in_vec(value: &Vec<Inner>) {
    black_box(value.to_vec()); // <- derived in vec
}

#[inline(never)]
fn by_hand(value: &ByHand) {
    black_box(value.clone());
}

#[inline(never)]
fn generic<T: Clone>(value: &T) {
    black_box(value.clone()); // <- generic
}

#[inline(never)]
fn closure(spy: &Spy) {
    let clone = black_box(|| {
        black_box(spy.clone()); // <- closure
    });
    clone();
}

fn async_block(spy: &Spy) {
    let mut future = std::pin::pin!(async {
        std::future::ready(()).await;
        black_box(spy.clone()); // <- async
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_ready());
}

struct ClonesWhenDropped(Spy);

impl Drop for ClonesWhenDropped {
    fn drop(&mut self) {
        black_box(self.0.clone()); // <- in drop
    }
}

trait Shape {
    fn share(&self) -> Spy;
}

impl Shape for Spy {
    #[inline(never)]
    fn share(&self) -> Spy {
        self.clone() // <- dyn
    }
}

#[inline(never)]
fn end_of_scope(spy: Spy) {
    let holder = black_box((spy, 1));
    black_box(&holder);
} // <- end of scope

#[inline(never)]
fn drop_call(holder: Box<dyn std::fmt::Debug>) {
    black_box(&holder);
    drop(holder); // <- drop
    black_box(());
}

#[inline(never)]
fn truncate(spies: &mut Vec<Spy>) {
    spies.truncate(0); // <- truncate
    black_box(spies);
}

/// The lines of this file that end in `// <- name`.
#[cfg_attr(not(feature = "stacks"), allow(dead_code))]
fn marked(name: &str) -> Vec<u32> {
    let lines = include_str!("stacks.rs").lines().zip(1..);
    let mark = format!("// <- {name}");
    lines.filter(|(line, _)| line.trim_end().ends_with(&mark)).map(|(_, number)| number).collect()
}

/// Whether this build tells lines: stacks have names, and there is debug information.
fn has_lines() -> bool {
    let Some(stack) = stack::capture(8).map(StackId::resolve) else { return false };
    cfg!(feature = "stacks") && stack.frames.iter().any(|frame| frame.line.is_some())
}

/// The stacks below the spy's own functions, which stand for refscope's.
fn below_the_spy(seen: impl Iterator<Item = Seen>) -> Vec<stack::Stack> {
    let resolve = |seen: Seen| (*seen.stack.expect("a stack was taken").resolve()).clone();
    let mut stacks: Vec<_> = seen.map(resolve).collect();
    let spy = marked("spy");
    let of_spy = |frame: &stack::Frame| frame.line.is_some_and(|line| spy.contains(&line));
    for stack in &mut stacks {
        let start = stack.frames.iter().position(of_spy).expect("the spy took it") + 1;
        stack.frames.drain(..start);
    }
    stacks
}

#[test]
fn the_users_line_behind_whatever_made_the_clone() {
    let spy = Spy(false);
    let inner = || Inner { _spy: Spy(false) };
    let middle = || Middle(inner(), 0);
    let shape: &dyn Shape = black_box(&spy);
    type Case<'a> = (&'a str, bool, Box<dyn FnOnce() + 'a>);
    // The mark of the line; whether its location is std's or a derive's; what to do. (Older toolchains give `vec!` and `resize`
    // the user's location.)
    let is_of_std = |case: fn()| {
        let location = seen(case).location.expect("a clone has one");
        refscope::__private::needs_stack(location)
    };
    let of_macro = is_of_std(|| vec_of(Spy(false)));
    let of_resize = is_of_std(|| resize(&mut vec![Spy(false)], Spy(false)));
    let cases: [Case<'_>; 17] = [
        ("vec", true, Box::new(|| vec_clone(&vec![Spy(false)]))),
        ("option", true, Box::new(|| cloned(Some(&spy)))),
        ("vec of", of_macro, Box::new(|| vec_of(Spy(false)))),
        ("map", true, Box::new(|| map_clone(&BTreeMap::from([(1, Spy(false))])))),
        ("collect", true, Box::new(|| collect(&[Spy(false)]))),
        ("resize", of_resize, Box::new(|| resize(&mut vec![Spy(false)], Spy(false)))),
        ("cow", true, Box::new(|| into_owned(Cow::Borrowed(&[Spy(false)])))),
        ("derived once", true, Box::new(|| derived_once(&inner()))),
        ("derived twice", true, Box::new(|| derived_twice(&middle()))),
        ("derived thrice", true, Box::new(|| derived_thrice(&Outer::Some { _value: middle() }))),
        ("derived in vec", true, Box::new(|| derived_in_vec(&vec![inner()]))),
        ("by hand", true, Box::new(|| by_hand(&ByHand(middle())))),
        ("generic", false, Box::new(|| generic(&spy))),
        ("closure", false, Box::new(|| closure(&spy))),
        ("async", false, Box::new(|| async_block(&spy))),
        ("in drop", false, Box::new(|| drop(ClonesWhenDropped(Spy(false))))),
        ("dyn", false, Box::new(|| drop(shape.share()))),
    ];
    let seen: Vec<_> = cases.map(|(name, needs, case)| (name, needs, seen(case))).into();
    for &(name, needs, seen) in &seen {
        let location = seen.location.expect("a clone has one");
        assert_eq!(refscope::__private::needs_stack(location), needs, "{name}: {location}");
        if !needs {
            assert_eq!(vec![location.line()], marked(name), "{name}");
        }
        assert!(seen.stack.is_some_and(|stack| stack.addresses().len() > 3), "{name}");
    }
    if !has_lines() {
        return;
    }
    for ((name, ..), stack) in seen.iter().zip(below_the_spy(seen.iter().map(|&(.., seen)| seen))) {
        let (line, caller) = stack.user_frame().unwrap_or_else(|| panic!("{name}: {stack:#?}"));
        assert!(line.file.as_ref().is_some_and(|file| file.ends_with("tests/stacks.rs")));
        assert_eq!(line.line.map(|line| vec![line]), Some(marked(name)), "{name}: {stack:#?}");
        assert!(caller.is_some_and(|caller| caller.line.is_some()), "{name}: {stack:#?}");
        // The report starts with it, but for what is folded.
        let lines = stack.lines();
        let first = &lines[..2.min(lines.len())];
        assert!(first.contains(&stack::Line::Frame(line)), "{name}: {stack}\n{stack:#?}");
    }
}

#[test]
fn a_drop_has_a_line() {
    type Case<'a> = (&'a str, Box<dyn FnOnce() + 'a>);
    let cases: [Case<'_>; 3] = [
        ("end of scope", Box::new(|| end_of_scope(Spy(true)))),
        ("drop", Box::new(|| drop_call(Box::new(Spy(true))))),
        ("truncate", Box::new(|| truncate(&mut vec![Spy(true)]))),
    ];
    let seen: Vec<_> = cases.map(|(name, case)| (name, seen(case))).into();
    for (name, seen) in &seen {
        assert!(seen.stack.is_some_and(|stack| stack.addresses().len() > 3), "{name}");
    }
    if !has_lines() {
        return;
    }
    for ((name, _), stack) in seen.iter().zip(below_the_spy(seen.iter().map(|&(_, seen)| seen))) {
        let line = stack.user_frame().and_then(|(line, _)| line.line);
        assert_eq!(line.map(|line| vec![line]), Some(marked(name)), "{name}: {stack:#?}");
    }
}

#[inline(never)]
fn twice() -> [Option<StackId>; 2] {
    let mut ids = [None; 2];
    // A loop that can't be unrolled.
    while ids[black_box(1)].is_none() {
        ids[black_box(usize::from(ids[0].is_some()))] = stack::capture(32);
    }
    ids
}

#[test]
fn the_same_stack_is_the_same_number() {
    let [first, second] = twice();
    let third = twice()[0];
    assert!(first.is_some());
    assert_eq!(first, second);
    assert_ne!(first, third, "another line of this function");
    let shallow = stack::capture(1).expect("a stack");
    assert_eq!(shallow.addresses().len(), 1);
    assert_eq!(stack::capture(0), None);
}

/// What a walk gives is what std's own does.
#[test]
fn stacks_are_those_of_std() {
    if !has_lines() {
        return;
    }
    let (ours, stds) = (stack::capture(64), std::backtrace::Backtrace::force_capture());
    let ours = ours.expect("a stack").resolve();
    let own = "stacks_are_those_of_std";
    let names = ours.frames.iter().filter_map(|frame| frame.function.clone());
    let ours: Vec<_> = names.skip_while(|name| !name.contains(own)).collect();
    let text = stds.to_string();
    // `  3: name` and `     at file` in turns.
    let stds: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim_start().split_once(": "))
        .filter(|(number, _)| number.parse::<u32>().is_ok())
        .map(|(_, name)| name)
        .skip_while(|name| !name.contains(own))
        .collect();
    assert!(stds.len() >= 3, "{text}");
    // std leaves out what started the thread, and prints paths another way here and there: the last parts must agree.
    let last = |name: &str| name.rsplit("::").next().unwrap_or_default().to_owned();
    let agree = ours.iter().zip(&stds).take_while(|(ours, stds)| last(ours) == last(stds)).count();
    assert!(agree >= 3, "{ours:#?}\n{text}");
}

#[test]
fn frame_pointers_are_used_where_the_program_has_them() {
    for _ in 0..100 {
        twice();
    }
    let stats = stack::stats();
    assert!(stats.confirmed + stats.misleading > 0, "{stats:?}");
    let flags = option_env!("RUSTFLAGS").unwrap_or_default();
    if flags.contains("force-frame-pointers=yes") {
        assert!(stats.frame_pointers && stats.confirmed > stats.misleading, "{stats:?}");
    } else if flags.is_empty() {
        assert!(stats.misleading > stats.confirmed, "{stats:?}");
    }
}

#[inline(never)]
fn dive(depth: usize, at_the_bottom: &mut dyn FnMut()) -> usize {
    let here = black_box([depth; 8]);
    if depth == 0 {
        at_the_bottom();
        return here[0];
    }
    dive(depth - 1, at_the_bottom) + black_box(here)[1]
}

#[test]
fn deep_recursion_is_cut_at_the_limit() {
    // A level takes hundreds of bytes in some builds.
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let thread = thread.spawn(captures_of_deep_recursion).expect("a thread");
    thread.join().expect("no assertion failed");
}

fn captures_of_deep_recursion() {
    let mut ids = Vec::new();
    for depth in [10, 100, 5_000] {
        dive(depth, &mut || ids.push(stack::capture(usize::MAX).expect("a stack")));
    }
    assert_eq!(ids[1].addresses().len(), 64);
    assert_eq!(ids[1].addresses()[5..60], ids[2].addresses()[5..60], "the same calls");
    // Any number of frames from the bottom of a stack: each walk ends.
    for depth in 0..80 {
        dive(depth, &mut || assert!(stack::capture(64).is_some()));
    }
}

/// Near the end of a small stack, where a walk must not need much.
#[test]
fn little_stack_is_left() {
    const SIZE: usize = 256 << 10;
    let thread = std::thread::Builder::new().stack_size(SIZE).spawn(|| {
        // Once with room: what is made once takes more.
        black_box(stack::capture(64));
        let here = 0_u8;
        descend((&raw const here).addr() - SIZE + (32 << 10))
    });
    assert!(thread.expect("a thread").join().expect("no overflow") > 8);
}

/// Takes a stack at each level until the stack pointer is below `low`. Returns how many were taken.
#[inline(never)]
fn descend(low: usize) -> usize {
    let here = black_box([0_u64; 256]);
    let taken = usize::from(stack::capture(64).is_some());
    if (&raw const here).addr() <= low {
        return taken;
    }
    let deeper = descend(low);
    black_box(&here);
    taken + deeper
}

struct AtThreadEnd(std::sync::mpsc::Sender<Option<StackId>>);

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        let _ = self.0.send(stack::capture(32));
    }
}

#[test]
fn while_a_thread_ends() {
    thread_local! {
        static LAST: RefCell<Option<AtThreadEnd>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || LAST.set(Some(AtThreadEnd(sender))));
    thread.join().expect("no panic");
    let id = receiver.recv().expect("the destructor ran").expect("a stack");
    assert!(id.addresses().len() > 1);
}

mod signals {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static IN_HANDLER: AtomicUsize = AtomicUsize::new(usize::MAX);

    extern "C" fn handler(_: libc::c_int) {
        let len = stack::capture(64).map_or(0, |id| id.addresses().len());
        IN_HANDLER.store(len, Ordering::Relaxed);
    }

    #[inline(never)]
    fn raise(signal: libc::c_int) {
        // SAFETY: CALL: the signal has a handler.
        unsafe { libc::raise(signal) };
        black_box(());
    }

    fn install(signal: libc::c_int, flags: libc::c_int) {
        // SAFETY: PLAIN: integers and pointers, for which zero is a value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = flags;
        // SAFETY: CALL: the action is filled, and outlives the call.
        assert_eq!(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }, 0);
    }

    /// On the thread's own stack and on one for signals, over the frame that the kernel has made.
    #[test]
    fn in_a_signal_handler() {
        black_box(stack::capture(64));
        install(libc::SIGUSR1, 0);
        for _ in 0..3 {
            raise(libc::SIGUSR1);
            assert!(IN_HANDLER.swap(usize::MAX, Ordering::Relaxed) > 4);
        }
        let memory = vec![0_u8; 64 << 10];
        let stack = libc::stack_t {
            ss_sp: memory.as_ptr().cast_mut().cast(),
            ss_flags: 0,
            ss_size: memory.len(),
        };
        // SAFETY: PLAIN: as above.
        let mut old: libc::stack_t = unsafe { std::mem::zeroed() };
        // SAFETY: CALL: the memory is there until the old stack is set again.
        assert_eq!(unsafe { libc::sigaltstack(&raw const stack, &raw mut old) }, 0);
        install(libc::SIGUSR2, libc::SA_ONSTACK);
        for _ in 0..3 {
            raise(libc::SIGUSR2);
            assert_ne!(IN_HANDLER.swap(usize::MAX, Ordering::Relaxed), usize::MAX, "it returned");
        }
        // SAFETY: CALL: the stack that was there before.
        unsafe { libc::sigaltstack(&raw const old, std::ptr::null_mut()) };
    }
}

/// A frame pointer made by hand: the walk ends, and the program goes on. (The platform's unwinder follows a wrong frame
/// pointer into the void, as a panic would there; with the feature `stacks` it isn't asked.)
#[cfg(all(target_arch = "x86_64", feature = "stacks"))]
mod corrupt {
    use super::*;

    extern "C" fn take() -> u32 {
        stack::capture(64).map_or(0, StackId::number)
    }

    #[inline(never)]
    fn with_frame_pointer(wrong: usize) -> u32 {
        let id: u32;
        // SAFETY: REGISTERS: the frame pointer and the stack pointer are as before when the code ends.
        unsafe {
            std::arch::asm!(
                "mov r12, rbp",
                "mov r13, rsp",
                "and rsp, -16",
                "mov rbp, {wrong}",
                "call {take}",
                "mov rsp, r13",
                "mov rbp, r12",
                wrong = in(reg) wrong,
                take = sym take,
                out("r12") _,
                out("r13") _,
                lateout("eax") id,
                clobber_abi("C"),
            );
        }
        id
    }

    #[test]
    fn a_frame_pointer_made_by_hand_ends_the_walk() {
        // Has the tables read, if no other test has.
        black_box(stack::capture(64));
        let here = 0_usize;
        let near = (&raw const here).addr();
        let heap = Box::new([0_usize; 64]);
        let wrong = [
            0,
            1,
            8,
            16,
            4096,
            near,
            near & !15,
            (near & !15) - 4096,
            near + (1 << 20),
            near + (1 << 40),
            (&raw const *heap).addr() & !15,
            usize::MAX,
            usize::MAX - 15,
            isize::MIN as usize,
            0x7fff_ffff_fff0,
            0xffff_8000_0000_0000,
            take as extern "C" fn() -> u32 as usize & !15,
        ];
        for wrong in wrong {
            with_frame_pointer(black_box(wrong));
        }
        // A circle: a frame that leads to itself.
        #[repr(align(16))]
        struct Frame([usize; 2]);
        let mut frame = Frame([0; 2]);
        let address = (&raw mut frame).expose_provenance();
        frame.0 = [address, take as extern "C" fn() -> u32 as usize];
        black_box(&mut frame);
        with_frame_pointer(black_box(address));
        black_box(&frame);
    }
}

/// A stack that nobody has told the system of, as coroutines have.
#[cfg(target_arch = "x86_64")]
#[test]
fn on_a_stack_of_ones_own() {
    extern "C" fn take() -> u32 {
        stack::capture(64).map_or(0, StackId::number)
    }
    let memory = vec![0_u8; 256 << 10];
    let top = (memory.as_ptr_range().end as usize) & !15;
    for _ in 0..3 {
        // SAFETY: REGISTERS: the stack pointer is as before when the code ends, and the memory is large enough for the call.
        unsafe {
            std::arch::asm!(
                "mov r12, rsp",
                "mov rsp, {top}",
                "call {take}",
                "mov rsp, r12",
                top = in(reg) top,
                take = sym take,
                out("r12") _,
                out("eax") _,
                clobber_abi("C"),
            );
        }
    }
    black_box(&memory);
}

#[test]
fn threads_at_once() {
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                for depth in 0..2_000 {
                    dive(depth % 40, &mut || assert!(stack::capture(32).is_some()));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let stats = stack::stats();
    assert_eq!(stats.table.refused, 0, "{stats:?}");
}
