//! Random programs over a pool of handles, run on std's pointers and on ours in lockstep, and against a model of the
//! events.
//!
//! # What is checked after every step
//!
//! * LOCKSTEP: the same result, the same counts of every handle, the same destructors in the same order.
//! * COUNTS: for every handle, the count that the ledger has is std's, and the living handles that it knows are
//!   as many as std counts, strong and weak. (An object that has been std's in between is known only in part: there
//!   the ledger's two numbers agree with each other, and are not above std's.)
//! * HANDLES: over all objects the ledger knows as many strong and weak handles, raw pointers and boxes as the program
//!   has, wherever it has them: in the pool, in other objects, forgotten. (Where an object has been std's and raw pointers
//!   were looked at, whose they were is a guess.)
//! * VIEWS: the ledger and the replay of a recording give the same objects, with the same handles (number, strength,
//!   path, parent, raw, thread), counts and labels.
//!
//! and at the end: REPLAY (the recording is gap-free and its counts replay; its report has the fingerprints of
//! the ledger's), FILE (a recording in a file, read back as a whole and line by line, says all that before anything is
//! dropped and after, and has the recorder's events) and EMPTY (when everything is dropped, the ledger knows of nothing but
//! what a cycle keeps and what was forgotten, and of all that).
//!
//! Programs of several threads are checked when all have ended, since std's own results depend on who comes first; what
//! can happen in between is left to loom (`tests/loom`). A failure is shrunk, and prints as the list of its steps.

use proptest::prelude::*;
use refscope::Scope;
use refscope::StdPtr as _;
use refscope::analysis::LeakReport;
use refscope::event::{Kind, Strength, Time};
use refscope::model::{EventRecord, LiveObject, Recording};
use refscope::sink::{Clock, FileSink, Recorder};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// So many cases, or as many as `PROPTEST_CASES` in the environment says.
fn cases(unless_told: u32) -> ProptestConfig {
    let told = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(told.unwrap_or(unless_told))
    }
}

/// What is alive in a scope by the ledger, after it was compared with what its recorder has. (VIEWS)
fn alive(scope: &Scope, recorder: &Recorder) -> Result<Vec<LiveObject>, TestCaseError> {
    let ledger = timeless(scope.alive());
    let recording = recorder.recording();
    prop_assert_eq!(recording.lost(), 0);
    for (name, view) in [("recording in memory", timeless(recording.live_objects()))] {
        for (ledger, view) in ledger.iter().zip(&view) {
            prop_assert_eq!(ledger, view, "VIEWS: ledger and {}", name);
        }
        prop_assert_eq!(&ledger, &view, "VIEWS: ledger and {}", name);
    }
    Ok(ledger)
}

/// A recording in a file, which is compared with the recorder's.
struct Recorded {
    sink: FileSink,
    path: std::path::PathBuf,
}

impl Recorded {
    /// For every other program: with a file, events are emitted at once, and without one only logged.
    fn of_program(steps: usize) -> Option<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if !steps.is_multiple_of(2) {
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("model-{}-{number}.jsonl", std::process::id());
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        Some(Self { sink: FileSink::create(&path).unwrap(), path })
    }

    /// A scope of which all is recorded.
    fn scope(this: Option<&Self>, recorder: &Recorder) -> Scope {
        match this {
            Some(this) => Scope::new((recorder.clone(), this.sink.clone())),
            None => Scope::new(recorder.clone()),
        }
    }

    /// FILE. `alive` is what the ledger and the recorder agreed on.
    fn check(&self, alive: &[LiveObject], recorder: &Recorder) -> Result<(), TestCaseError> {
        self.sink.flush().unwrap();
        let bytes = std::fs::read(&self.path).unwrap();
        let (whole, in_memory) = (Recording::read(&bytes[..]).unwrap(), recorder.recording());
        let (tables, by_line) = Recording::read_live(&bytes[..]).unwrap();
        for recording in [&whole, &tables] {
            prop_assert_eq!(recording.damage(), [], "FILE");
            prop_assert!(recording.lost() == 0 && !recording.truncated(), "FILE");
        }
        let as_a_whole = timeless(whole.live_objects());
        prop_assert_eq!(fingerprints(&as_a_whole), fingerprints(alive), "FILE");
        let alive = stackless(alive.to_vec());
        prop_assert_eq!(&stackless(as_a_whole), &alive, "FILE: read as a whole");
        prop_assert_eq!(&stackless(timeless(by_line)), &alive, "FILE: read by line");
        prop_assert_eq!(events(&whole), events(&in_memory), "FILE");
        let ids = |recording: &Recording| recording.objects().keys().copied().collect::<Vec<_>>();
        prop_assert_eq!(ids(&whole), ids(&in_memory), "FILE");
        if let Err(mismatch) = whole.verify() {
            return Err(TestCaseError::fail(format!("FILE: {mismatch}")));
        }
        Ok(())
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // Else there is something to be written still when it is gone.
        let _ = self.sink.flush();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A recording's events, with what they refer to in place of its numbers, and without times.
fn events(recording: &Recording) -> Vec<(EventRecord, Option<String>, String, bool)> {
    let plain = |event: &EventRecord| {
        let line = event.location.map(|line| recording.locations()[line as usize].to_string());
        let thread = recording.threads()[event.thread as usize].to_string();
        let (mut event, has_stack) = (*event, event.stack.is_some());
        (event.location, event.thread, event.time) = (None, 0, Time::START);
        event.stack = None;
        (event, line, thread, has_stack)
    };
    recording.events().iter().map(plain).collect()
}

/// Without times, which a recorder need not have.
fn timeless(mut objects: Vec<LiveObject>) -> Vec<LiveObject> {
    for object in &mut objects {
        object.created = Time::START;
        object.handles.iter_mut().for_each(|handle| handle.created = Time::START);
    }
    objects
}

/// Without stacks, which have other numbers when they come from a file.
fn stackless(mut objects: Vec<LiveObject>) -> Vec<LiveObject> {
    objects
        .iter_mut()
        .flat_map(|object| &mut object.handles)
        .for_each(|handle| handle.stack = None);
    objects
}

fn fingerprints(objects: &[LiveObject]) -> Vec<(u64, usize)> {
    let report = LeakReport::new(objects.to_vec(), Time::START);
    report.leaks().iter().map(|leak| (leak.fingerprint, leak.objects.len())).collect()
}

/// How many handles there are.
#[derive(Debug, Default, PartialEq)]
struct Handles {
    strong: usize,
    weak: usize,
    boxes: usize,
    raw: usize,
}

impl Handles {
    fn of(objects: &[LiveObject]) -> Self {
        let mut handles = Self::default();
        for object in objects {
            for handle in &object.handles {
                handles.raw += usize::from(handle.raw);
                *match (object.kind, handle.strength) {
                    (Kind::Box, _) => &mut handles.boxes,
                    (_, Strength::Strong) => &mut handles.strong,
                    (_, Strength::Weak) => &mut handles.weak,
                } += 1;
            }
        }
        handles
    }
}

/// Handles that objects hold.
#[derive(Default)]
struct Held {
    strong: Cell<usize>,
    weak: Cell<usize>,
}

/// A step. Its numbers choose among the handles that there are, modulo how many.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A new object. One in four panics when it is cloned.
    New(u32),
    NewCyclic(u32),
    Clone(usize),
    Drop(usize),
    Downgrade(usize),
    WeakClone(usize),
    WeakDrop(usize),
    Upgrade(usize),
    TryUnwrap(usize),
    IntoInner(usize),
    UnwrapOrClone(usize),
    MakeMut(usize),
    GetMut(usize),
    IntoRaw(usize),
    FromRaw(usize),
    /// A view of a raw pointer, and a clone made of it.
    View(usize),
    Increment(usize),
    WeakThroughRaw(usize),
    WeakIntoRaw(usize),
    WeakFromRaw(usize),
    /// A clone of the second handle goes into the payload of the first.
    Nest(usize, usize),
    /// What the payload holds goes.
    Empty(usize),
    Label(usize),
    Replace(usize, usize),
    /// `mem::forget`: a leak.
    Forget(usize),
    /// To a pointer of std's, which stays in the pool.
    IntoStd(usize),
    /// And back.
    FromStd(usize),
    WeakThroughStd(usize),
    BoxNew(u32),
    /// Clones the payload, which may panic.
    BoxClone(usize),
    BoxDrop(usize),
    Unbox(usize),
    BoxThroughRaw(usize),
    BoxThroughStd(usize),
    /// The value moves from the box to a counted pointer.
    BoxToCounted(usize),
    /// Two handles change places, unseen.
    Swap(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let at = 0_usize..8;
    let step = prop_oneof![
        4 => (0_u32..100).prop_map(New),
        1 => (0_u32..100).prop_map(NewCyclic),
        6 => at.clone().prop_map(Clone),
        4 => at.clone().prop_map(Drop),
        3 => at.clone().prop_map(Downgrade),
        1 => at.clone().prop_map(WeakClone),
        2 => at.clone().prop_map(WeakDrop),
        3 => at.clone().prop_map(Upgrade),
        1 => at.clone().prop_map(TryUnwrap),
        1 => at.clone().prop_map(IntoInner),
        1 => at.clone().prop_map(UnwrapOrClone),
        2 => at.clone().prop_map(MakeMut),
        1 => at.clone().prop_map(GetMut),
        2 => at.clone().prop_map(IntoRaw),
        2 => at.clone().prop_map(FromRaw),
        1 => at.clone().prop_map(View),
        1 => at.clone().prop_map(Increment),
        1 => at.clone().prop_map(WeakThroughRaw),
        1 => at.clone().prop_map(WeakIntoRaw),
        1 => at.clone().prop_map(WeakFromRaw),
        3 => (at.clone(), at.clone()).prop_map(|(a, b)| Nest(a, b)),
        1 => at.clone().prop_map(Empty),
        1 => at.clone().prop_map(Label),
        1 => (at.clone(), at.clone()).prop_map(|(a, b)| Replace(a, b)),
        1 => at.clone().prop_map(Forget),
        1 => at.clone().prop_map(IntoStd),
        1 => at.clone().prop_map(FromStd),
        1 => at.clone().prop_map(WeakThroughStd),
        2 => (0_u32..100).prop_map(BoxNew),
        1 => at.clone().prop_map(BoxClone),
        1 => at.clone().prop_map(BoxDrop),
        1 => at.clone().prop_map(Unbox),
        1 => at.clone().prop_map(BoxThroughRaw),
        1 => at.clone().prop_map(BoxThroughStd),
        1 => at.clone().prop_map(BoxToCounted),
        1 => (at.clone(), at).prop_map(|(a, b)| Swap(a, b)),
    ];
    prop::collection::vec(step, 1..60)
}

/// The same with few objects and many raw pointers, and views of them.
fn raw_steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::*;
    let at = 0_usize..4;
    let step = prop_oneof![
        2 => (0_u32..100).prop_map(New),
        2 => at.clone().prop_map(Clone),
        2 => at.clone().prop_map(Drop),
        1 => at.clone().prop_map(Downgrade),
        1 => at.clone().prop_map(WeakDrop),
        1 => at.clone().prop_map(Upgrade),
        6 => at.clone().prop_map(IntoRaw),
        5 => at.clone().prop_map(FromRaw),
        6 => at.clone().prop_map(View),
        2 => at.clone().prop_map(Increment),
        2 => at.clone().prop_map(WeakIntoRaw),
        2 => at.clone().prop_map(WeakFromRaw),
        1 => at.clone().prop_map(IntoStd),
        1 => at.clone().prop_map(FromStd),
        1 => at.clone().prop_map(IntoInner),
        1 => at.prop_map(MakeMut),
    ];
    prop::collection::vec(step, 1..80)
}

/// What a step gave, and the state after it.
type Outcome = (String, Vec<(usize, usize)>, Vec<(usize, usize)>, Vec<u32>);

macro_rules! world {
    ($world:ident, $root:ident, $module:ident, $Ptr:ident, |$boxed:ident| $unbox:expr) => {
        mod $world {
            use super::*;
            use $root::boxed::Box;
            use $root::$module::{Weak, $Ptr};

            /// The payload: it holds handles, logs its end, and may panic when it is cloned.
            pub(super) struct Node {
                id: u32,
                inner: RefCell<Vec<$Ptr<Node>>>,
                me: Weak<Node>,
                held: std::rc::Rc<Held>,
                log: std::rc::Rc<RefCell<Vec<u32>>>,
            }

            impl Clone for Node {
                fn clone(&self) -> Self {
                    if self.id % 4 == 3 {
                        resume_unwind(std::boxed::Box::new("on purpose"));
                    }
                    let inner: Vec<_> = self.inner.borrow().iter().map($Ptr::clone).collect();
                    self.held.strong.update(|strong| strong + inner.len());
                    Self {
                        id: self.id + 1000,
                        inner: RefCell::new(inner),
                        me: Weak::new(),
                        held: self.held.clone(),
                        log: self.log.clone(),
                    }
                }
            }

            impl Drop for Node {
                fn drop(&mut self) {
                    self.log.borrow_mut().push(self.id);
                    self.held.strong.update(|strong| strong - self.inner.borrow().len());
                    self.held.weak.update(|weak| weak - self.is_mine());
                }
            }

            impl Node {
                /// How many weak handles it has of itself.
                fn is_mine(&self) -> usize {
                    usize::from(!self.me.ptr_eq(&Weak::new()))
                }

                /// Takes out what it holds.
                fn take(&self) -> Vec<$Ptr<Node>> {
                    let taken = self.inner.take();
                    self.held.strong.update(|strong| strong - taken.len());
                    taken
                }
            }

            #[derive(Default)]
            pub(super) struct World {
                pub(super) strong: Vec<$Ptr<Node>>,
                pub(super) weak: Vec<Weak<Node>>,
                raw: Vec<*const Node>,
                weak_raw: Vec<*const Node>,
                boxes: Vec<Box<Node>>,
                theirs: Vec<std::$module::$Ptr<Node>>,
                /// Where the objects lie of which some handle was std's.
                pub(super) mixed: HashSet<*const Node>,
                /// Views of raw pointers that there were.
                pub(super) views: usize,
                /// The program looks at raw pointers.
                pub(super) looks: bool,
                /// Of objects that were std's, where the program looks at raw pointers: it is a guess then whose handle
                /// comes back, and what is left of one that was freed out of sight must not be found at the address of
                /// another.
                kept: Vec<std::$module::Weak<Node>>,
                /// Handles that are forgotten, until all is checked.
                forgotten: Vec<ManuallyDrop<$Ptr<Node>>>,
                held: std::rc::Rc<Held>,
                log: std::rc::Rc<RefCell<Vec<u32>>>,
            }

            fn place(at: usize, len: usize) -> Option<usize> {
                (len > 0).then(|| at % len)
            }

            impl World {
                fn node(&self, id: u32, me: Weak<Node>) -> Node {
                    let (held, log) = (self.held.clone(), self.log.clone());
                    let node = Node { id, inner: RefCell::default(), me, held, log };
                    node.held.weak.update(|weak| weak + node.is_mine());
                    node
                }

                /// The handles that the program has. (A raw pointer is one.)
                pub(super) fn handles(&self) -> Handles {
                    let raw = self.raw.len() + self.weak_raw.len();
                    let strong = self.strong.len() + self.raw.len() + self.forgotten.len();
                    let weak = self.weak.len() + self.weak_raw.len();
                    Handles {
                        strong: strong + self.held.strong.get(),
                        weak: weak + self.held.weak.get(),
                        boxes: self.boxes.len(),
                        raw,
                    }
                }

                /// Runs a step, and says what came of it.
                pub(super) fn run(&mut self, step: Step) -> Outcome {
                    let gave = self.step(step).unwrap_or_else(|| "nothing to do it on".to_owned());
                    (
                        gave,
                        self.strong
                            .iter()
                            .map(|p| ($Ptr::strong_count(p), $Ptr::weak_count(p)))
                            .collect(),
                        self.weak.iter().map(|w| (w.strong_count(), w.weak_count())).collect(),
                        self.log.borrow().clone(),
                    )
                }

                fn step(&mut self, step: Step) -> Option<String> {
                    let (strong, weak, raw) = (self.strong.len(), self.weak.len(), self.raw.len());
                    let boxes = self.boxes.len();
                    let mut gave = String::from("done");
                    match step {
                        Step::New(id) => {
                            let node = self.node(id, Weak::new());
                            self.strong.push($Ptr::new(node));
                        }
                        Step::NewCyclic(id) => {
                            let node = $Ptr::new_cyclic(|me| {
                                gave = format!("{:?}", me.upgrade().is_some());
                                self.node(id, me.clone())
                            });
                            self.strong.push(node);
                        }
                        Step::Clone(at) => {
                            let clone = self.strong[place(at, strong)?].clone();
                            self.strong.push(clone);
                        }
                        Step::Drop(at) => drop(self.strong.swap_remove(place(at, strong)?)),
                        Step::Downgrade(at) => {
                            self.weak.push($Ptr::downgrade(&self.strong[place(at, strong)?]));
                        }
                        Step::WeakClone(at) => {
                            let clone = self.weak[place(at, weak)?].clone();
                            self.weak.push(clone);
                        }
                        Step::WeakDrop(at) => drop(self.weak.swap_remove(place(at, weak)?)),
                        Step::Upgrade(at) => {
                            let upgraded = self.weak[place(at, weak)?].upgrade();
                            gave = upgraded.is_some().to_string();
                            self.strong.extend(upgraded);
                        }
                        Step::TryUnwrap(at) => {
                            match $Ptr::try_unwrap(self.strong.swap_remove(place(at, strong)?)) {
                                Ok(node) => gave = format!("the value {}", node.id),
                                Err(back) => self.strong.push(back),
                            }
                        }
                        Step::IntoInner(at) => {
                            let inner =
                                $Ptr::into_inner(self.strong.swap_remove(place(at, strong)?));
                            gave = format!("{:?}", inner.map(|node| node.id));
                        }
                        Step::UnwrapOrClone(at) => {
                            let this = self.strong.swap_remove(place(at, strong)?);
                            let got =
                                catch_unwind(AssertUnwindSafe(|| $Ptr::unwrap_or_clone(this)));
                            gave = format!("{:?}", got.ok().map(|node| node.id));
                        }
                        Step::MakeMut(at) => {
                            let this = &mut self.strong[place(at, strong)?];
                            let got = catch_unwind(AssertUnwindSafe(|| {
                                let node = $Ptr::make_mut(this);
                                node.id += 1;
                                node.id
                            }));
                            gave = format!("{:?}", got.ok());
                        }
                        Step::GetMut(at) => {
                            let this = &mut self.strong[place(at, strong)?];
                            gave = format!("{:?}", $Ptr::get_mut(this).map(|node| node.id));
                        }
                        Step::IntoRaw(at) => {
                            self.raw
                                .push($Ptr::into_raw(self.strong.swap_remove(place(at, strong)?)));
                        }
                        Step::FromRaw(at) => {
                            let ptr = self.raw.swap_remove(place(at, raw)?);
                            // SAFETY: `ptr` came from `into_raw`, and is taken back once.
                            self.strong.push(unsafe { $Ptr::from_raw(ptr) });
                        }
                        Step::View(at) => {
                            let ptr = self.raw[place(at, raw)?];
                            self.views += 1;
                            // SAFETY: `ptr` came from `into_raw`, and the view is not dropped.
                            let view = ManuallyDrop::new(unsafe { $Ptr::from_raw(ptr) });
                            self.strong.push($Ptr::clone(&view));
                        }
                        Step::Increment(at) => {
                            let ptr = self.raw[place(at, raw)?];
                            // SAFETY: `ptr` came from `into_raw`; the count is taken back by its copy.
                            unsafe { $Ptr::increment_strong_count(ptr) };
                            self.raw.push(ptr);
                        }
                        Step::WeakThroughRaw(at) => {
                            let ptr = self.weak.swap_remove(place(at, weak)?).into_raw();
                            // SAFETY: `ptr` came from `into_raw`.
                            self.weak.push(unsafe { Weak::from_raw(ptr) });
                        }
                        Step::WeakIntoRaw(at) => {
                            let weak = self.weak.swap_remove(place(at, weak)?);
                            self.weak_raw.push(weak.into_raw());
                        }
                        Step::WeakFromRaw(at) => {
                            let at = place(at, self.weak_raw.len())?;
                            let ptr = self.weak_raw.swap_remove(at);
                            // SAFETY: `ptr` came from `into_raw`, and is taken back once.
                            self.weak.push(unsafe { Weak::from_raw(ptr) });
                        }
                        Step::Nest(outer, inner) => {
                            let inner = self.strong[place(inner, strong)?].clone();
                            self.held.strong.update(|strong| strong + 1);
                            self.strong[place(outer, strong)?].inner.borrow_mut().push(inner);
                        }
                        Step::Empty(at) => {
                            let held = self.strong[place(at, strong)?].take();
                            gave = format!("{}", held.len());
                        }
                        Step::Label(at) => {
                            refscope::label(&self.strong[place(at, strong)?], "labelled")
                        }
                        Step::Replace(to, from) => {
                            let clone = self.strong[place(from, strong)?].clone();
                            self.strong[place(to, strong)?] = clone;
                        }
                        Step::Forget(at) => {
                            let this = self.strong.swap_remove(place(at, strong)?);
                            self.forgotten.push(ManuallyDrop::new(this));
                        }
                        Step::IntoStd(at) => {
                            let this = self.strong.swap_remove(place(at, strong)?);
                            self.mixed.insert($Ptr::as_ptr(&this));
                            let this = this.into_std();
                            if self.looks {
                                self.kept.push(std::$module::$Ptr::downgrade(&this));
                            }
                            self.theirs.push(this);
                        }
                        Step::FromStd(at) => {
                            let theirs = self.theirs.swap_remove(place(at, self.theirs.len())?);
                            self.strong.push($Ptr::from_std(theirs));
                        }
                        Step::WeakThroughStd(at) => {
                            let this = self.weak.swap_remove(place(at, weak)?);
                            self.mixed.insert(this.as_ptr());
                            let this = this.into_std();
                            if self.looks {
                                self.kept.push(this.clone());
                            }
                            self.weak.push(Weak::from_std(this));
                        }
                        Step::BoxNew(id) => {
                            let node = self.node(id, Weak::new());
                            self.boxes.push(Box::new(node));
                        }
                        Step::BoxClone(at) => {
                            let this = &self.boxes[place(at, boxes)?];
                            let got = catch_unwind(AssertUnwindSafe(|| this.clone()));
                            gave = format!("{:?}", got.as_ref().ok().map(|node| node.id));
                            self.boxes.extend(got);
                        }
                        Step::BoxDrop(at) => drop(self.boxes.swap_remove(place(at, boxes)?)),
                        Step::Unbox(at) => {
                            let $boxed = self.boxes.swap_remove(place(at, boxes)?);
                            let node: Node = $unbox;
                            gave = node.id.to_string();
                        }
                        Step::BoxThroughRaw(at) => {
                            let ptr = Box::into_raw(self.boxes.swap_remove(place(at, boxes)?));
                            // SAFETY: `ptr` came from `into_raw`, and is taken back once.
                            self.boxes.push(unsafe { Box::from_raw(ptr) });
                        }
                        Step::BoxThroughStd(at) => {
                            let theirs = self.boxes.swap_remove(place(at, boxes)?).into_std();
                            self.boxes.push(Box::from_std(theirs));
                        }
                        Step::BoxToCounted(at) => {
                            self.strong.push($Ptr::from(self.boxes.swap_remove(place(at, boxes)?)));
                        }
                        Step::Swap(a, b) => self.strong.swap(place(a, strong)?, place(b, strong)?),
                    }
                    Some(gave)
                }

                /// Everything that the pool holds goes.
                pub(super) fn end(&mut self) -> Vec<u32> {
                    self.strong.iter().for_each(|p| drop(p.take()));
                    for ptr in self.raw.drain(..) {
                        // SAFETY: `ptr` came from `into_raw`, and is taken back once.
                        let back = unsafe { $Ptr::from_raw(ptr) };
                        drop(back.take());
                    }
                    self.theirs.iter().for_each(|p| drop(p.take()));
                    for ptr in self.weak_raw.drain(..) {
                        // SAFETY: `ptr` came from `into_raw`, and is taken back once.
                        drop(unsafe { Weak::from_raw(ptr) });
                    }
                    self.theirs.clear();
                    self.boxes.clear();
                    self.strong.clear();
                    self.weak.clear();
                    self.log.borrow().clone()
                }

                /// What was forgotten goes as well, so that the ledger does not grow from case to case.
                pub(super) fn remember(self) {
                    for this in self.forgotten {
                        let this = ManuallyDrop::into_inner(this);
                        drop(this.take());
                    }
                    std::mem::forget(self.kept);
                }
            }
        }
    };
}

macro_rules! lockstep {
    ($name:ident, $module:ident, $Ptr:ident, $theirs:ident, $ours:ident) => {
        world! { $theirs, std, $module, $Ptr, |boxed| *boxed }
        world! { $ours, refscope, $module, $Ptr, |boxed| refscope::unbox(boxed) }

        fn $name(steps: &[Step]) -> Result<(), TestCaseError> {
            let recorder = Recorder::builder().budget(16 << 20).clock(Clock::None).build();
            let file = Recorded::of_program(steps.len());
            let scope = Recorded::scope(file.as_ref(), &recorder);
            let _guard = scope.enter();
            let mut theirs = $theirs::World::default();
            let mut ours = $ours::World::default();
            theirs.looks = steps.iter().any(|step| matches!(step, Step::View(_)));
            ours.looks = theirs.looks;
            for (number, step) in steps.iter().enumerate() {
                let (want, got) = (theirs.run(*step), ours.run(*step));
                prop_assert_eq!(want, got, "LOCKSTEP at step {}: {:?}", number, step);
                let mut seen = HashSet::new();
                for pointer in &ours.strong {
                    use refscope::$module::$Ptr;
                    if !ours.mixed.contains(&$Ptr::as_ptr(pointer))
                        && !seen.insert($Ptr::as_ptr(pointer))
                    {
                        continue;
                    }
                    let holders = refscope::holders(pointer);
                    let (strong, weak) = ($Ptr::strong_count(pointer), $Ptr::weak_count(pointer));
                    let known = (holders.strong().len(), holders.handles().len());
                    if ours.mixed.contains(&$Ptr::as_ptr(pointer)) {
                        let traced = holders.strong_count() as usize;
                        prop_assert_eq!(traced, known.0, "COUNTS at step {}", number);
                        prop_assert!(traced <= strong, "COUNTS at step {}", number);
                        continue;
                    }
                    prop_assert_eq!(
                        holders.strong_count() as usize,
                        strong,
                        "COUNTS at step {}",
                        number
                    );
                    prop_assert_eq!(known, (strong, strong + weak), "COUNTS at step {}", number);
                }
                let alive = alive(&scope, &recorder)?;
                let (want, mut got) = (ours.handles(), Handles::of(&alive));
                prop_assert_eq!(&theirs.handles(), &want, "LOCKSTEP at step {}", number);
                prop_assert!(got.raw <= want.raw, "HANDLES at step {}: {:?}", number, alive);
                if ours.views > 0 {
                    // A raw pointer that was looked at has returned, as far as can be known.
                    got.raw = want.raw;
                }
                // Of two objects for one allocation it is a guess whose raw pointer was looked at, and returns.
                if ours.mixed.is_empty() || ours.views == 0 {
                    prop_assert_eq!(want, got, "HANDLES at step {}: {:?}", number, alive);
                }
            }
            if let Some(file) = &file {
                file.check(&alive(&scope, &recorder)?, &recorder)?;
            }
            let (want, got) = (theirs.end(), ours.end());
            prop_assert_eq!(want, got, "LOCKSTEP at the end");
            let recording = recorder.recording();
            prop_assert_eq!(recording.lost(), 0);
            if let Err(mismatch) = recording.verify() {
                return Err(TestCaseError::fail(format!("REPLAY: {mismatch}")));
            }
            // What is left is what a cycle keeps, by strong handles or by weak ones: the history says the same.
            let left = |t: &refscope::analysis::Timeline<'_>| t.strong() + t.weak() > 0;
            let timelines = recording.timelines();
            let left = timelines.iter().filter(|timeline| left(timeline)).count();
            let alive = alive(&scope, &recorder)?;
            let ended = fingerprints(&timeless(recording.live_objects()));
            prop_assert_eq!(fingerprints(&alive), ended, "REPLAY");
            if let Some(file) = &file {
                file.check(&alive, &recorder)?;
            }
            prop_assert_eq!(alive.len(), left, "EMPTY: {:?}", alive);
            // As above.
            if ours.mixed.is_empty() || ours.views == 0 {
                prop_assert_eq!(ours.handles(), Handles::of(&alive), "EMPTY: {:?}", alive);
            }
            theirs.remember();
            ours.remember();
            Ok(())
        }
    };
}

lockstep! { lockstep_rc, rc, Rc, std_rc, our_rc }
lockstep! { lockstep_arc, sync, Arc, std_arc, our_arc }

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn rc_in_lockstep(steps in steps()) {
        lockstep_rc(&steps)?;
    }

    #[test]
    fn raw_pointers_in_lockstep(steps in raw_steps()) {
        lockstep_rc(&steps)?;
        lockstep_arc(&steps)?;
    }

    #[test]
    fn arc_in_lockstep(steps in steps()) {
        lockstep_arc(&steps)?;
    }
}

/// What a thread does, to the handles that it has.
#[derive(Clone, Copy, Debug)]
enum Move {
    New,
    Clone(usize),
    Drop(usize),
    Downgrade(usize),
    WeakDrop(usize),
    Upgrade(usize),
    TryUnwrap(usize),
    IntoInner(usize),
    MakeMut(usize),
    GetMut(usize),
    ThroughRaw(usize),
    ThroughStd(usize),
    /// Leaves a handle where any thread may take it, and takes what was there.
    Exchange(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    use Move::*;
    let at = 0_usize..8;
    let one = prop_oneof![
        1 => Just(New),
        6 => at.clone().prop_map(Clone),
        4 => at.clone().prop_map(Drop),
        3 => at.clone().prop_map(Downgrade),
        1 => at.clone().prop_map(WeakDrop),
        4 => at.clone().prop_map(Upgrade),
        1 => at.clone().prop_map(TryUnwrap),
        1 => at.clone().prop_map(IntoInner),
        1 => at.clone().prop_map(MakeMut),
        1 => at.clone().prop_map(GetMut),
        1 => at.clone().prop_map(ThroughRaw),
        1 => at.clone().prop_map(ThroughStd),
        3 => at.prop_map(Exchange),
    ];
    prop::collection::vec(one, 1..80)
}

/// A value that counts how many of its kind there are.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Clone for Counted<'_> {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Shared<'a> = refscope::Arc<Counted<'a>>;
type Slot<'a> = std::sync::Mutex<Option<Shared<'a>>>;

/// A thread's handles, strong and weak.
type Pool<'a> = (Vec<Shared<'a>>, Vec<refscope::sync::Weak<Counted<'a>>>);

fn play<'a>(moves: &[Move], slot: &Slot<'a>, values: &'a AtomicU64, pool: &mut Pool<'a>) {
    let (strong, weak) = pool;
    for step in moves {
        let at = |at: usize, len: usize| at.checked_rem(len);
        let take =
            |strong: &mut Vec<Shared<'a>>, n| at(n, strong.len()).map(|n| strong.swap_remove(n));
        match *step {
            Move::New => strong.push(Shared::new(Counted::new(values))),
            Move::Clone(n) => strong.extend(at(n, strong.len()).map(|n| strong[n].clone())),
            Move::Drop(n) => drop(take(strong, n)),
            Move::Downgrade(n) => {
                weak.extend(at(n, strong.len()).map(|n| Shared::downgrade(&strong[n])));
            }
            Move::WeakDrop(n) => drop(at(n, weak.len()).map(|n| weak.swap_remove(n))),
            Move::Upgrade(n) => strong.extend(at(n, weak.len()).and_then(|n| weak[n].upgrade())),
            Move::TryUnwrap(n) => {
                let back = take(strong, n).and_then(|p| Shared::try_unwrap(p).err());
                strong.extend(back);
            }
            Move::IntoInner(n) => drop(take(strong, n).and_then(Shared::into_inner)),
            Move::MakeMut(n) => {
                at(n, strong.len()).map(|n| Shared::make_mut(&mut strong[n]).0);
            }
            Move::GetMut(n) => {
                at(n, strong.len()).map(|n| Shared::get_mut(&mut strong[n]).map(|v| v.0));
            }
            Move::ThroughRaw(n) => {
                let raw = take(strong, n).map(Shared::into_raw);
                // SAFETY: the pointer comes from `into_raw`, and is taken back once.
                strong.extend(raw.map(|raw| unsafe { Shared::from_raw(raw) }));
            }
            Move::ThroughStd(n) => {
                let back = take(strong, n).map(|p| Shared::from_std(p.into_std()));
                strong.extend(back);
            }
            Move::Exchange(n) => {
                let mine = take(strong, n);
                let theirs = std::mem::replace(&mut *slot.lock().unwrap(), mine);
                strong.extend(theirs);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    /// Three threads at once, checked when all have come to rest. COUNTS and VIEWS: the ledger and the recording
    /// have the same handles, which are those that the threads have. EMPTY: when they go, nothing is left, and every
    /// value has been destroyed once.
    #[test]
    fn threads_at_rest(programs in prop::array::uniform3(moves())) {
        let recorder = Recorder::builder().budget(16 << 20).clock(Clock::None).build();
        let file = Recorded::of_program(programs[0].len());
        let scope = Recorded::scope(file.as_ref(), &recorder);
        let values = AtomicU64::new(0);
        let (slot, start) = (Slot::default(), std::sync::Barrier::new(programs.len()));
        let first = scope.run(|| Shared::new(Counted::new(&values)));
        let pools: Vec<Pool<'_>> = std::thread::scope(|threads| {
            let running: Vec<_> = (programs.iter())
                .map(|program| {
                    let mut pool = (vec![first.clone()], Vec::new());
                    let (scope, slot, start, values) = (&scope, &slot, &start, &values);
                    threads.spawn(move || {
                        let _guard = scope.enter();
                        start.wait();
                        play(program, slot, values, &mut pool);
                        pool
                    })
                })
                .collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut all: Vec<_> = pools.iter().flat_map(|(strong, _)| strong).collect();
        let waiting = slot.into_inner().unwrap();
        all.extend(&waiting);
        all.push(&first);
        let mut objects: std::collections::BTreeMap<_, u32> = Default::default();
        for pointer in &all {
            let holders = refscope::holders(*pointer);
            *objects.entry(holders.object().expect("traced").id()).or_default() += 1;
        }
        for pointer in &all {
            let holders = refscope::holders(*pointer);
            let mine = objects[&holders.object().expect("traced").id()];
            prop_assert_eq!(holders.strong_count(), mine, "COUNTS");
            prop_assert_eq!(holders.strong().len(), mine as usize, "COUNTS");
        }
        drop(all);
        let recording = recorder.recording();
        prop_assert_eq!(recording.lost(), 0);
        if let Err(mismatch) = recording.verify() {
            return Err(TestCaseError::fail(format!("REPLAY: {mismatch}")));
        }
        let told = recording.timelines().iter().filter(|timeline| timeline.is_alive()).count();
        prop_assert_eq!(told, objects.len(), "COUNTS");
        let alive = alive(&scope, &recorder)?;
        if let Some(file) = &file {
            file.check(&alive, &recorder)?;
        }
        let handles = Handles::of(&alive);
        let want = Handles {
            strong: objects.values().sum::<u32>() as usize,
            weak: pools.iter().map(|(_, weak)| weak.len()).sum(),
            ..Handles::default()
        };
        prop_assert_eq!(handles, want, "HANDLES");
        drop((pools, waiting, first));
        prop_assert_eq!(scope.alive(), [], "EMPTY");
        prop_assert_eq!(values.load(Ordering::Relaxed), 0, "EMPTY");
    }
}

/// A clone that panics in `make_mut` leaves a handle that has returned from a raw pointer, but is not taken for one by the
/// ledger any more: a recording, which is not told, has to follow what events name.
#[test]
fn a_returned_handle_that_could_not_be_copied() -> Result<(), TestCaseError> {
    use Step::*;
    let steps = [
        New(3),
        Clone(0),
        IntoRaw(0),
        Increment(0),
        IntoRaw(0),
        FromRaw(0),
        MakeMut(0),
        FromRaw(0),
        View(0),
        FromRaw(0),
    ];
    lockstep_rc(&steps)?;
    lockstep_arc(&steps)
}
