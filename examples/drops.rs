//! `cargo run --example drops --features stacks`: a timeline with a line for each drop.
//!
//! The compiler gives a drop no line. With stacks the line is known all the same: that of the `drop`, of the `}` or of the
//! call where a handle's owner went.

use refscope::rc::Rc;
use refscope::sink::{Clock, Recorder};
use refscope::stack::{self, Depths};
use std::hint::black_box;

struct Session(#[allow(dead_code)] u32);

struct Request {
    session: Rc<Session>,
}

/// Ends its handle at the end of its scope.
#[inline(never)]
fn handle(request: Request) {
    black_box(&request.session);
} // <- the request, and its handle

/// Ends its handle by a call.
#[inline(never)]
fn log_out(session: Rc<Session>) {
    black_box(&session);
    drop(session); // <- explicitly
    black_box(());
}

/// Ends the handles that a collection has.
#[inline(never)]
fn expire(cache: &mut Vec<Rc<Session>>) {
    cache.clear(); // <- all of the cache's
    black_box(cache);
}

fn main() {
    if !refscope::ENABLED {
        println!("Tracing is off: refscope is built without its feature `trace`.");
    }
    let recorder = Recorder::builder().budget(64 << 20).clock(Clock::Precise).build();
    refscope::install(recorder.clone()).expect("no other sink is installed");
    stack::set_depths(Depths::all(24));

    let session = Rc::new(Session(7));
    let mut cache = vec![session.clone(), session.clone()];
    handle(Request { session: session.clone() });
    log_out(session.clone());
    expire(&mut cache);
    drop(session); // <- the last one

    let mut recording = recorder.recording();
    recording.resolve_stacks();
    recording.timelines().print();
}
