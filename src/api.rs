//! The whole API at a glance.
//!
//! # The pointers
//!
//! | std | traced | |
//! | --- | --- | --- |
//! | [`std::boxed`] | [`boxed`](crate::boxed) | [`Box`](crate::Box), [`ThinBox`](crate::boxed::ThinBox) (nightly) |
//! | [`std::rc`] | [`rc`](crate::rc) | [`Rc`](crate::Rc), [`Weak`](crate::rc::Weak), [`UniqueRc`](crate::rc::UniqueRc) (nightly) |
//! | [`std::sync`] | [`sync`](crate::sync) | [`Arc`](crate::Arc), [`Weak`](crate::sync::Weak), [`UniqueArc`](crate::sync::UniqueArc) (nightly), and all else that std has there |
//! | [`std::task`] | [`task`](crate::task) | [`Wake`](crate::task::Wake), and all else that std has there |
//!
//! [`StdPtr`](crate::StdPtr) converts from and to std's pointers, [`coerce!`](crate::coerce) and [`unsize!`](crate::unsize) make
//! trait objects and slices, [`unbox`](crate::unbox) moves a value out of its box, and [`MakeMut`](crate::MakeMut) is the bound
//! of `make_mut`. [`ENABLED`](crate::ENABLED) says whether the pointers are traced at all.
//!
//! # What is asked of a pointer
//!
//! [`holders`](crate::holders()) returns [`Holders`](crate::Holders): who holds the value now. [`watch`](crate::watch()) returns a
//! [`Watch`](crate::Watch), which asserts that the object is dropped. [`label`](crate::label) gives an object a name in
//! reports, and [`allow_leak`](crate::allow_leak) marks one that is meant to stay. They take any pointer that is
//! [`Inspect`](crate::Inspect): refscope's and std's.
//!
//! # What is traced, and by which sink
//!
//! | what | with which | until |
//! | --- | --- | --- |
//! | the whole program | [`track`](crate::track) without a sink, [`install`](crate::install) with one ([`InstallError`](crate::InstallError)) | [`switch_off`](crate::switch_off) |
//! | a part of it | a [`Scope`](crate::Scope): `run`, `enter` ([`ScopeGuard`](crate::ScopeGuard)), `enter_thread`, `instrument` ([`Instrumented`](crate::Instrumented)) | the guard is dropped |
//!
//! A [`Sink`](crate::Sink) receives each [`Event`](crate::Event). Those that come with refscope, all in [`sink`](crate::sink):
//!
//! | sink | does |
//! | --- | --- |
//! | [`from_fn`](crate::sink::from_fn) ([`FromFn`](crate::sink::FromFn)) | calls a closure |
//! | [`Print`](crate::sink::Print) | writes a line |
//! | [`Recorder`](crate::sink::Recorder), by its [builder](crate::sink::RecorderBuilder): [`Clock`](crate::sink::Clock), [`Overflow`](crate::sink::Overflow) | keeps events in memory |
//! | [`FlightRecorder`](crate::sink::FlightRecorder) (unix) | records to a file that survives the process |
//! | [`FileSink`](crate::sink::FileSink) | records to a file, as JSON Lines |
//! | [`set_source_lines`](crate::sink::set_source_lines) | says whether these two have lines of source code |
//! | `TracingSink` (feature `tracing`) | passes events on to `tracing` |
//! | [`Filter`](crate::sink::Filter), [`ObjectFilter`](crate::sink::ObjectFilter) | choose objects |
//! | [`Nop`](crate::sink::Nop), `(a, b)` | neither, and both |
//!
//! [`flush`](crate::flush) flushes what sinks buffer, [`mark`](crate::mark()) names a moment, and
//! [`untraced_counts`](crate::untraced_counts) says what was left out.
//!
//! # Checks and reports
//!
//! | when | use, in [`leaks`](crate::leaks) |
//! | --- | --- |
//! | in a test | [`check`](crate::leaks::check), [`repeat`](crate::leaks::repeat); with conditions: [`Check`](crate::leaks::Check) ([`CheckGuard`](crate::leaks::CheckGuard)), [`Repeat`](crate::leaks::Repeat) |
//! | now | [`report`](crate::leaks::report), [`snapshot`](crate::leaks::snapshot), [`alive`](crate::alive) |
//! | at the exit | [`on_exit`](crate::leaks::on_exit) |
//! | from time to time | [`every`](crate::leaks::every), `on_signals` (feature `signals`); both return a [`Reporter`](crate::leaks::Reporter) |
//! | in a debugger | [`register_for_debugger`](crate::leaks::register_for_debugger) |
//!
//! [`set_search`](crate::leaks::set_search) says whether reports search the memory, and
//! [`set_search_budget`](crate::leaks::set_search_budget) for how long. That search alone is
//! [`locate::Search`](crate::locate::Search), and [`Alloc`](crate::Alloc) tells it the blocks of an allocator that is not glibc's.
//!
//! # What comes out, as plain data
//!
//! | module | data |
//! | --- | --- |
//! | [`event`](crate::event) | [`Event`](crate::Event), [`OwnedEvent`](crate::OwnedEvent), [`Op`](crate::Op), [`Object`](crate::Object), [`ObjectId`](crate::ObjectId), [`HandleId`](crate::HandleId), [`Kind`](crate::Kind), [`Strength`](crate::Strength), [`Location`](crate::Location), [`Thread`](crate::event::Thread), [`Time`](crate::event::Time), [`UntracedCounts`](crate::UntracedCounts) |
//! | [`model`](crate::model) | what is alive: [`LiveObject`](crate::model::LiveObject), [`Handle`](crate::model::Handle), [`PathStep`](crate::model::PathStep). What happened: [`Recording`](crate::Recording), [`ObjectRecord`](crate::model::ObjectRecord), [`EventRecord`](crate::model::EventRecord), [`Mark`](crate::model::Mark), [`Origin`](crate::model::Origin), [`RecordingEnd`](crate::model::RecordingEnd), [`Mismatch`](crate::model::Mismatch), [`MismatchReason`](crate::model::MismatchReason); from files (feature `json`): `RecordingFile` (its histories: `analysis::History`), `Survey`, `Surveyed`, `Allocation`, `Moment`, `Damage`, `ReadError`, `Peak` |
//! | [`analysis`](crate::analysis) | causes: [`LeakReport`](crate::analysis::LeakReport), [`Leak`](crate::analysis::Leak), [`Cause`](crate::analysis::Cause), [`HandleGroup`](crate::analysis::HandleGroup), [`Help`](crate::analysis::Help), [`ReportKind`](crate::analysis::ReportKind), [`Part`](crate::analysis::Part), [`Retention`](crate::analysis::Retention). Growth: [`Snapshot`](crate::analysis::Snapshot), [`Growth`](crate::analysis::Growth), [`Grown`](crate::analysis::Grown), [`Total`](crate::analysis::Total). History: [`Timelines`](crate::analysis::Timelines), [`Timeline`](crate::analysis::Timeline), [`Point`](crate::analysis::Point), [`Lifeline`](crate::analysis::Lifeline), [`End`](crate::analysis::End). Counts by line: [`Balance`](crate::analysis::Balance), [`BalanceNode`](crate::analysis::BalanceNode), [`BalanceLine`](crate::analysis::BalanceLine) |
//! | [`locate`](crate::locate) | [`Ownership`](crate::locate::Ownership), [`LocatedObject`](crate::locate::LocatedObject), [`LocatedHandle`](crate::locate::LocatedHandle), [`Owner`](crate::locate::Owner), [`StaticPlace`](crate::locate::StaticPlace), [`ThreadLocalPlace`](crate::locate::ThreadLocalPlace), [`Node`](crate::locate::Node), [`NodeKind`](crate::locate::NodeKind), [`Held`](crate::locate::Held), [`Step`](crate::locate::Step), [`PlainPointer`](crate::locate::PlainPointer), [`Cycle`](crate::locate::Cycle), [`Name`](crate::locate::Name), [`Grade`](crate::locate::Grade), [`Doubt`](crate::locate::Doubt), [`Place`](crate::locate::Place), [`PathText`](crate::locate::PathText), [`CycleText`](crate::locate::CycleText), [`Statistics`](crate::locate::Statistics), [`Unavailable`](crate::locate::Unavailable), `InvalidGraph` |
//! | [`stack`](crate::stack) | [`set_depths`](crate::stack::set_depths), [`set_depths_of`](crate::stack::set_depths_of) and [`capture`](crate::stack::capture) take stacks, [`Depths`](crate::stack::Depths) deep; [`StackId`](crate::stack::StackId), [`Stack`](crate::stack::Stack), [`Frame`](crate::stack::Frame), [`Line`](crate::stack::Line), [`Origin`](crate::stack::Origin), [`flame_graph`](crate::stack::flame_graph); [`stats`](crate::stack::stats): [`Stats`](crate::stack::Stats), [`TableStats`](crate::stack::TableStats) |
//! | [`span`](crate::span) | `layer` and `SpanLayer` (feature `spans`): the spans of `tracing`, for reports |
//!
//! # What comes out, as text
//!
//! [`render::Terminal`](crate::render::Terminal) draws for a terminal; [`render`](crate::render) has
//! [`dot`](crate::render::dot), [`jsonl`](crate::render::jsonl), [`ownership_dot`](crate::render::ownership_dot) and
//! [`ownership_svg`](crate::render::ownership_svg); with the feature `json` also `jsonl_of`, `perfetto`, `perfetto_of` and `report_json`, and with `html`
//! also `html` and `html_with_ownership`.
//!
//! What all of it promises is in [`guarantees`](crate::guarantees).

// Without tracing some of it is std's own, or not there.
#![cfg_attr(
    not(feature = "trace"),
    allow(rustdoc::broken_intra_doc_links, rustdoc::redundant_explicit_links)
)]
