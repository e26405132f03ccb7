//! Random programs over a pool of handles, run on std's pointers and on ours in lockstep, and against a model of the
//! events.
//!
//! # What is checked after every step
//!
//! * LOCKSTEP: the same result, the same counts of every handle, the same destructors in the same order.
//! * FOLD: for every handle, the count that the ledger has is std's, and the living handles that the live set knows are
//!   as many as std counts, strong and weak.
//!
//! and at the end: REPLAY (the recording is gap-free and its counts replay) and EMPTY (when everything is dropped, the live
//! set knows of nothing but what a cycle keeps, and of all that).
//!
//! Interleavings of threads are left to loom (`tests/loom`); here all runs on one. A failure is shrunk, and prints as the
//! list of its steps.
#![cfg(feature = "trace")]

use proptest::prelude::*;
use refscope::sink::{Clock, LiveSet, Recorder};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

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
    /// A clone of the second handle goes into the payload of the first.
    Nest(usize, usize),
    /// What the payload holds goes.
    Empty(usize),
    Label(usize),
    Replace(usize, usize),
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
        3 => (at.clone(), at.clone()).prop_map(|(a, b)| Nest(a, b)),
        1 => at.clone().prop_map(Empty),
        1 => at.clone().prop_map(Label),
        1 => (at.clone(), at).prop_map(|(a, b)| Replace(a, b)),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a step gave, and the state after it.
type Outcome = (String, Vec<(usize, usize)>, Vec<(usize, usize)>, Vec<u32>);

macro_rules! world {
    ($world:ident, $($path:ident)::+, $Ptr:ident) => {
        mod $world {
            use super::*;
            use $($path)::+::{$Ptr, Weak};

            /// The payload: it holds handles, logs its end, and may panic when it is cloned.
            pub(super) struct Node {
                id: u32,
                inner: RefCell<Vec<$Ptr<Node>>>,
                _me: Weak<Node>,
                log: std::rc::Rc<RefCell<Vec<u32>>>,
            }

            impl Clone for Node {
                fn clone(&self) -> Self {
                    if self.id % 4 == 3 {
                        resume_unwind(Box::new("on purpose"));
                    }
                    let inner = self.inner.borrow().iter().map($Ptr::clone).collect();
                    Self {
                        id: self.id + 1000,
                        inner: RefCell::new(inner),
                        _me: Weak::new(),
                        log: self.log.clone(),
                    }
                }
            }

            impl Drop for Node {
                fn drop(&mut self) {
                    self.log.borrow_mut().push(self.id);
                }
            }

            #[derive(Default)]
            pub(super) struct World {
                pub(super) strong: Vec<$Ptr<Node>>,
                pub(super) weak: Vec<Weak<Node>>,
                raw: Vec<*const Node>,
                log: std::rc::Rc<RefCell<Vec<u32>>>,
            }

            fn place(at: usize, len: usize) -> Option<usize> {
                (len > 0).then(|| at % len)
            }

            impl World {
                fn node(&self, id: u32, me: Weak<Node>) -> Node {
                    Node { id, inner: RefCell::default(), _me: me, log: self.log.clone() }
                }

                /// Runs a step, and says what came of it.
                pub(super) fn run(&mut self, step: Step) -> Outcome {
                    let gave = self.step(step).unwrap_or_else(|| "nothing to do it on".to_owned());
                    (
                        gave,
                        self.strong.iter().map(|p| ($Ptr::strong_count(p), $Ptr::weak_count(p))).collect(),
                        self.weak.iter().map(|w| (w.strong_count(), w.weak_count())).collect(),
                        self.log.borrow().clone(),
                    )
                }

                fn step(&mut self, step: Step) -> Option<String> {
                    let (strong, weak, raw) = (self.strong.len(), self.weak.len(), self.raw.len());
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
                            let inner = $Ptr::into_inner(self.strong.swap_remove(place(at, strong)?));
                            gave = format!("{:?}", inner.map(|node| node.id));
                        }
                        Step::UnwrapOrClone(at) => {
                            let this = self.strong.swap_remove(place(at, strong)?);
                            let got = catch_unwind(AssertUnwindSafe(|| $Ptr::unwrap_or_clone(this)));
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
                            self.raw.push($Ptr::into_raw(self.strong.swap_remove(place(at, strong)?)));
                        }
                        Step::FromRaw(at) => {
                            let ptr = self.raw.swap_remove(place(at, raw)?);
                            // SAFETY: `ptr` came from `into_raw`, and is taken back once.
                            self.strong.push(unsafe { $Ptr::from_raw(ptr) });
                        }
                        Step::View(at) => {
                            let ptr = self.raw[place(at, raw)?];
                            // SAFETY: `ptr` came from `into_raw`, and the view is not dropped.
                            let view = std::mem::ManuallyDrop::new(unsafe { $Ptr::from_raw(ptr) });
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
                        Step::Nest(outer, inner) => {
                            let inner = self.strong[place(inner, strong)?].clone();
                            self.strong[place(outer, strong)?].inner.borrow_mut().push(inner);
                        }
                        Step::Empty(at) => {
                            let held = self.strong[place(at, strong)?].inner.take();
                            gave = format!("{}", held.len());
                        }
                        Step::Label(at) => refscope::label(&self.strong[place(at, strong)?], "labelled"),
                        Step::Replace(to, from) => {
                            let clone = self.strong[place(from, strong)?].clone();
                            self.strong[place(to, strong)?] = clone;
                        }
                    }
                    Some(gave)
                }

                /// Everything that the pool holds goes.
                pub(super) fn end(mut self) -> Vec<u32> {
                    self.strong.iter().for_each(|p| drop(p.inner.take()));
                    for ptr in self.raw.drain(..) {
                        // SAFETY: `ptr` came from `into_raw`, and is taken back once.
                        let back = unsafe { $Ptr::from_raw(ptr) };
                        drop(back.inner.take());
                    }
                    self.strong.clear();
                    self.weak.clear();
                    self.log.borrow().clone()
                }
            }
        }
    };
}

macro_rules! lockstep {
    ($name:ident, $module:ident, $Ptr:ident, $theirs:ident, $ours:ident) => {
        world! { $theirs, std::$module, $Ptr }
        world! { $ours, refscope::$module, $Ptr }

        fn $name(steps: &[Step]) -> Result<(), TestCaseError> {
            let (live, recorder) = (LiveSet::new(), Recorder::with(16 << 20, Clock::None));
            let _guard = refscope::Scope::new((live.clone(), recorder.clone())).enter();
            let mut theirs = $theirs::World::default();
            let mut ours = $ours::World::default();
            for (number, step) in steps.iter().enumerate() {
                let (want, got) = (theirs.run(*step), ours.run(*step));
                prop_assert_eq!(want, got, "LOCKSTEP at step {}: {:?}", number, step);
                for pointer in &ours.strong {
                    use refscope::$module::$Ptr;
                    let holders = refscope::holders(pointer);
                    let (strong, weak) = ($Ptr::strong_count(pointer), $Ptr::weak_count(pointer));
                    prop_assert_eq!(holders.traced() as usize, strong, "FOLD at step {}", number);
                    prop_assert_eq!(holders.strong().len(), strong, "FOLD at step {}", number);
                    prop_assert_eq!(
                        holders.handles().len(),
                        strong + weak,
                        "FOLD at step {}",
                        number
                    );
                }
            }
            let (want, got) = (theirs.end(), ours.end());
            prop_assert_eq!(want, got, "LOCKSTEP at the end");
            let recording = recorder.recording();
            prop_assert_eq!(recording.lost(), 0);
            if let Err(mismatch) = recording.replay() {
                return Err(TestCaseError::fail(format!("REPLAY: {mismatch}")));
            }
            // What is left is what a cycle keeps, by strong handles or by weak ones: the history says the same.
            let left = |t: &refscope::analysis::Timeline<'_>| t.strong() + t.weak() > 0;
            let timelines = recording.timelines();
            let left = timelines.iter().filter(|timeline| left(timeline)).count();
            prop_assert_eq!(live.len(), left, "EMPTY: {:?}", live.objects());
            Ok(())
        }
    };
}

lockstep! { lockstep_rc, rc, Rc, std_rc, our_rc }
lockstep! { lockstep_arc, sync, Arc, std_arc, our_arc }

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn rc_in_lockstep(steps in steps()) {
        lockstep_rc(&steps)?;
    }

    #[test]
    fn arc_in_lockstep(steps in steps()) {
        lockstep_arc(&steps)?;
    }
}
