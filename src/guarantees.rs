//! What refscope promises, and how it is tested.
//!
//! # How an event comes about
//!
//! Every clone, drop, upgrade and `try_unwrap` is std's own, on std's own pointer; beside it stands a **ticket** of
//! eight bytes that identifies the handle. The ticket, not the pointer, has the `Drop`, and comes first among the
//! fields: so the drop check treats a traced pointer as it treats std's, and the event of a drop comes before those
//! of what the drop destroys.
//!
//! In the fully drop-in build, on x86-64, a handle is **one word**: std's pointer bit by bit while it is untraced; else its
//! ticket, in whose place std's pointer is. Each operation puts std's pointer together, with the metadata that are in the
//! handle, and lets std do it. There the pointer has the `Drop`, with `#[may_dangle]`, and std's pointer is its field.
//!
//! | of one word | what is different |
//! | --- | --- |
//! | a dereference | two instructions more than std's; of a traced handle, one more load |
//! | `as_std()` of a traced `Rc<dyn Trait>` or slice | a copy of std's pointer is kept until the handle ends, behind a lock; of a handle that came from a raw pointer and moved since, until the next is lent there |
//! | a handle that came from a raw pointer | its ticket has std's pointer in itself: its place may end with another handle |
//! | LeakSanitizer | untraced, and where a handle has two words, it sees what it sees of std's. In the one-word build std's pointer stands in the ledger, in which a program that is built with the sanitizer has it look: what is traced is reachable then, leaked or not, so ask [`leaks`](crate::leaks) for that (*tested* in `tests/leak_sanitizer.rs`) |
//! | a copy of a handle's bits | a view of it, as with std's, and what moves, unions and transmutes do is the same (`tests/drop_in/bits.rs`); but two copies that are both dropped, after `increment_strong_count`, end one handle twice. Wakers and the like, which make each handle by `from_raw`, make no copies |
//!
//! The **ledger** has two tables. An *entry* of 128 bytes for each living object: one 64-bit word in it holds a
//! sequence number and the strong count, so one atomic read-modify-write gives an event its place and the count
//! right after it. (An `Rc` or `Box` has no concurrent owners; a load and a store do there.) And a *place* of 64 bytes for
//! each living handle: its number, the handle that it was made from, the lines that it was handed on through, thread,
//! time and span. A place is written by the thread that makes the handle and freed by the one that ends it; threads have
//! magazines of free places and entries, so neither takes a lock. A ticket is the place's address, marked as such, with the
//! place's generation, so that a stale copy of an ended handle is distinguished from the one that has the place now.
//!
//! Readers ([`alive`](crate::alive), [`holders`](crate::holders()), the checks and the reports) walk the tables without a
//! lock, and stop nobody: a place or an entry is taken if its generation is the same before and after it was read.
//!
//! Events leave by two ways. **At once**, to [`Sink::event`](crate::Sink::event): for closures, printing, `tracing`, yours.
//! Or into the **log** of a [`Recorder`](crate::sink::Recorder): records of 32 bytes, which each thread writes to segments
//! of its own. An object without either is tracked all the same.
//!
//! | operation | what happens, in order |
//! | --- | --- |
//! | `new` and what else allocates | std; if it is wanted: an entry, a place, the event |
//! | `clone` | std, step, place, event |
//! | drop | place freed, step, event; with the last the strong side closes; std |
//! | `downgrade`, a weak clone | std, a share of the entry, step, place, event |
//! | drop of a weak handle | place freed, step, event, the share is given back; std |
//! | `upgrade` | std, step (and the strong side opens again if the count was 0), place, event |
//! | `try_unwrap` | std; on success the drop's steps and event |
//! | `into_inner` | the drop's steps and event; std; on success one more event |
//! | `make_mut` | std; if the value moved: the drop's steps on the old object, a new one |
//! | `new_cyclic` | an entry with one weak handle; inside std's call, after the closure, the upgrade's step |
//! | `into_raw`, `leak` | step, event; the handle's place waits in a table under kind and address; std |
//! | `from_raw` | std; if a handle waits at the address: its place is the new handle's, step, event |
//! | `into_std` | the object's address is noted if other handles stay; the drop's steps and event |
//! | `from_std` | as `new`; or, if the object is known by kind and address, and a traced handle keeps it: step, place, event |
//!
//! A handler of a **signal** may clone and drop traced pointers where objects are only tracked: it takes shared ways where
//! it interrupted the ledger's own code, waits for no lock, and where it would have to, the handle is untraced and
//! [counted](crate::untraced_counts). Printing, files and other sinks do what they do at any other place, and that is not
//! safe in a handler.
//!
//! # Promises
//!
//! **Order and count.** The events of an object are numbered from 1 without a gap. Replayed in that order they give the
//! strong count that each carries. None is emitted twice, or for another object.
//! *Tested* by loom models of the runtime, on two and three threads (`tests/loom`; `mutations.md` there says
//! which faults they have been shown to find); by eight threads
//! that hammer one `Arc` for a second (`tests/events.rs`); on every operation of the drop-in suite, recorded
//! (`tests/drop_in`); by random programs after each of whose steps the ledger's view equals the true handles, and
//! the replay of the recording (`tests/model`).
//!
//! **Never above std's.** Clone and upgrade step after std, drop and `into_inner` before it, so the traced count is never
//! above std's. The exceptions are short: until their own step in `try_unwrap` and `make_mut`, and while `new_cyclic`
//! has not published its pointer. *Tested* by a loom model that reads both counts while another thread clones and
//! drops.
//!
//! **Strong 0** means that no traced handle is left, not that the value is destroyed: a handle may have left through
//! `into_std`, and of two racing drops either thread may run the destructor. The count rises from 0 only by an upgrade
//! that raced the last drop, at the allocation of `new_cyclic`'s value, by a clone of a handle that came from a raw pointer
//! which refscope did not see leave, and where `from_std` takes a pointer back while the last traced handle ends.
//!
//! **Raw pointers** carry no ticket. A handle that `from_raw` makes is a new handle of the object that has a
//! handle waiting there; no object loses more handles than it had, whatever `from_raw` is called with. Where two objects
//! stand for one allocation (one was adopted by `from_std` from a pointer to the other's), which of them a raw pointer comes
//! back to is a guess; their counts are right. *Tested* by random programs (`tests/model`), two loom models, and
//! `tests/faults.rs`.
//!
//! **To a sink** the events of one handle come in order, what makes it first and what ends it last. Events of different handles may come
//! in another order. *Tested* by the loom models.
//!
//! **An object is bound to its sink when it is allocated**, and its later events go there from whatever thread they come; a scope's
//! sink lives as long as a handle of an object that is bound to it. *Tested* in `tests/sinks.rs` and by the loom models of
//! sinks that are installed, switched off and left while others emit; they notice a use after the release.
//!
//! **A tracer never takes the program down.** A sink that panics, while unwinding too, is switched off, and the program
//! goes on (with `panic = "unwind"`). Objects that a sink makes are untraced; what it does to the program's objects is
//! numbered, counted and withheld from it. No lock of refscope's is held while a sink runs. Events of thread-locals that
//! are destroyed with their thread are delivered. *Tested* in `tests/sinks.rs`.
//!
//! **In a signal's handler** traced pointers can be cloned, upgraded, downgraded and dropped where std's can, if they are
//! tracked only (`REFSCOPE=track` or `leaks`, [`track`](crate::track), a scope's mark). As std's they do not call the allocator,
//! which the handler may have interrupted: on a line that was never met, on a thread that has had nothing to do with
//! refscope, and for however many handles. Memory for those is the system's own (`mmap`). What the handler interrupted is not
//! touched; where it interrupted refscope itself, it waits for no lock, and a handle for which one would be needed is untraced,
//! or its path unknown, and counted. Elsewhere it may wait for another thread's lock, under which nothing is allocated.
//!
//! This holds on Linux, with what is linked into the program: the first use by a thread in a library that was loaded later
//! (`dlopen`) allocates, and so does that in a program that has made 32 keys of pthread's before its first traced object. It
//! does not hold for a handle that came from a raw pointer, whose table allocates; while the feature `spans` has a layer in
//! place; where stacks are taken: because they are [asked for](crate::stack::set_depths), or, with the feature `stacks`, of a clone
//! that std or a derive makes; and for the first use by a thread that std did not start in a handler with `SA_NODEFER`. On
//! other systems let each line run once on the thread before.
//! *Tested* with an allocator that counts who calls it from a handler (`tests/in_a_handler.rs`), and by signals that interrupt it
//! (`tests/signals_and_forks.rs`).
//!
//! A [`Recorder`](crate::sink::Recorder) does not hang there either, but for one case: an event for which the thread needs a
//! further segment (one in 512) asks the allocator for it, which the handler may have interrupted. An event of a handler that
//! interrupted refscope itself is not recorded, and counted as lost: the recording has gaps then. A sink that is called at
//! once does not run where the handler interrupted refscope; where it did not, the
//! sink's code runs in the handler, and has to be fit for that: printing and a file sink allocate and lock, and are not.
//! Allocating and freeing is not for handlers, traced or not. *Tested* in `tests/signals_and_forks.rs`.
//!
//! **`exit` in a signal's handler ends the process**, whatever it interrupted: on the thread that ends so refscope waits for
//! no lock, and neither allocates nor frees (but for a thread in a scope by
//! [`enter_thread`](crate::Scope::enter_thread), which leaves it). Reports and recordings are made by a
//! thread that waits for the exit from the beginning; where the handler interrupted the recording of an event, the
//! last quarter of a second may be lost, which is said. *Tested* in `tests/signals_and_forks.rs`, with threads at work, and
//! within each allocation of a program that records (`tests/interrupted.rs`).
//!
//! **A forked child** can go on with traced pointers, though other threads of its parent were at work on refscope: it finds
//! each lock free. Its parent's objects are known to it. It writes nothing to what its parent records or prints to, except
//! stderr; at its exit it reports what it has allocated itself, if that is alive; no thread of refscope's runs in
//! it, so that reports at intervals and on signals do not come. A lock that is held for a second at the fork, since a
//! debugger stopped its thread, is not waited for. A sink of your own has to care for itself. *Tested* in `tests/signals_and_forks.rs`.
//!
//! **Losses are counted exactly** while the process runs. A recorder that is full counts each event that it does not keep; one that keeps the latest
//! never gives up what it knows of an object that is alive, and has its strong count right, whichever segments it gave up. A flight recorder
//! counts each event that found no room, and has the count in its file. A [`FileSink`](crate::sink::FileSink) counts what is not in the
//! file and will not be: the recording itself says so where a pipe's reader is stalled; where the file cannot be written it cannot, and the sink's own
//! `lost` does. Not counted is what a kill kept from being written (a quarter of a second at most of JSON Lines, nothing of a flight recorder but what a
//! thread was just writing), and what had been written to a file that was then removed. What a filter left out, what was allocated inside a sink, and what
//! was refused by a full ledger (2^32 objects or handles at once, some 2^40 objects in all; the two are counted apart) or an object near its limits (2^24 handles, some 2^40 events) is in
//! [`untraced_counts`](crate::untraced_counts). *Tested* in `tests/bounds.rs`, `tests/integration/tests/file_sink.rs`, `tests/events.rs` (two million events into 16 KiB) and `tests/sinks.rs`; by loom models of the recorder's buffers; at an object's limits by unit tests that set its counts
//! to shortly before them (`src/limits.rs`). No test reaches the limits of the ledger, which take a gigabyte and more.
//!
//! **A leak report is true.** Its counts and its handles are the ledger's, whatever the sink is. A check reports the objects
//! that were allocated in its scope, whatever other tests run beside it, and waits for those that are still being torn down.
//! What was left out by a filter, or lost by a recorder, is counted in the report. *Tested* in `tests/leaks.rs`, whose texts are kept and compared whole, and in which the line at fault is the one that each example
//! marks; in `tests/environment.rs` for the reports of a process that ends, goes on, gets a signal, or is debugged; in
//! `tests/integration/tests/spans.rs`.
//!
//! **A recording in a file is read to its last whole line**, wherever it was cut. *Tested* at every byte
//! (`tests/integration/tests/recordings.rs`), and for bounded files, a full disk and a removed file
//! (`tests/integration/tests/file_sink.rs`); of flight recordings when the process is killed, also while it gives up old
//! blocks, when the disk is full, bits flip and the file is truncated (`tests/flight.rs`, `tests/flight_faults.rs`); of packed
//! ones in `tests/pack.rs`. `cli/tests/command.rs` has what the command says of bad inputs, `cli/tests/scale.rs` that its memory
//! does not grow with the events, `cli/tests/standards.rs` reads exports by others' schemas, and
//! `tests/integration/tests/browser.rs` drives the page in a browser.
//!
//! **Nothing is disclosed that its reader could not read.** `REFSCOPE` is ignored in a process with more rights than whoever
//! started it (Linux: `AT_SECURE`). A recording is created for its owner alone (0600), never through a symbolic link that
//! somebody else could have put there, and one that is in use is not overwritten. A recording contains the program's path,
//! arguments and working directory, the machine's name, and the names of types, files, threads, labels and spans, but no
//! values: share it as you would share a log. Whoever reads it sees source lines only from `.rs` files below the directory
//! that it was made in or the root that was given, and of a file that is the one recorded. Names from outside are escaped wherever
//! they are shown. *Tested* in `tests/environment.rs` (where the test may make a set-user-id program),
//! `tests/integration/tests/file_sink.rs` and `tests/integration/tests/hostile.rs`.
//!
//! **What your program does stays the same**, but for the size of a handle, type names, timing and stack use. *Tested* by
//! one suite that runs on std's types, on ours without a sink, on ours recorded, and on ours with tracing off
//! (`tests/drop_in`, which in the drop-in build compares the sizes of more than fifty types with std's, and which Miri checks
//! with strict provenance, under Stacked and Tree Borrows); by random programs that run on std's types and ours in lockstep, and by random programs of three threads that are checked
//! when all have come to rest (`tests/model`); by programs that must compile and programs that must not (`tests/compile/tests/ui`); by a check that each
//! function and impl that std documents is there, or is listed with the reason (`tests/compile/tests/surface.rs`).
//!
//! **Off is std.** Without the feature `trace` the types are std's own. *Tested* by their `TypeId`s (`tests/off.rs`).
//!
//! # Unsafe code
//!
//! The invariants that `SAFETY:` comments cite:
//!
//! * PINNED, VISIBLE and CLOSED: the head of `runtime/ledger.rs`; FREE, FOREVER and VACANT: of `runtime/slab.rs`; PATHS: of
//!   `runtime/paths.rs`; TAIL, CHAIN and BLOCK: of `runtime/log`; SCOPES: a node's share is owned by the pointer that has it.
//! * LOCAL: a thread-local without a destructor is there until its thread ends.
//! * STATIC: a pointer in a filled slot came from a `&'static`. LAYOUT: memory is freed with the layout that it was
//!   allocated with.
//! * MAPPED: a flight recorder's part of a file, reserved on the disk before it is mapped, and mapped as long as somebody
//!   refers to it; LIMIT: the limit on file sizes and the size of pages are read (`sink/flight`, `primitive.rs`).
//! * STD: an `unsafe fn` of std's pointer is passed through, with its contract, from one of the same name.
//! * STABLE: a pointer's value does not move while the pointer lives.
//! * WORD, WHOLE, PLACE, NOTED and LENT: the head of `repr.rs`, for handles of one word. MAY_DANGLE: a destructor does nothing
//!   with the value but drop it. SEND: what owns a value may be sent where the value may.
//! * WAKER: a raw waker's data is an `Arc` that it owns (`task.rs`).
//! * EXIT, RIGHTS, WINSIZE, TIME, SIGNALS, STDERR: calls into libc, for the end of the process, whose rights it has, the
//!   terminal's width, the coarse clock, a thread's mask of signals; a descriptor that is written to and not closed.
//! * ERRNO: where this thread's own is. KEY: the key of pthread's by which threads end. SOURCE: calls into libc about a file, with
//!   paths that end in 0, into memory of the caller's.
//! * NAME: the one function with a name of its own for the linker, which a debugger calls.
//! * Those of the stacks are in the head of `stack.rs`, those of the search in that of `locate.rs` and the files below it.
//! * FORK, START: what libc calls at a fork, and the loader before `main`.
