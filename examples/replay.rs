//! `cargo run --features json --example replay -- FILE…`: reads recordings that `REFSCOPE=record=FILE` made, checks
//! that each object's events are numbered without a gap and replay to the counts that they carry, and prints the
//! timelines of what was still alive.

use refscope::Recording;
use refscope::render::Terminal;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut good = true;
    for path in std::env::args().skip(1) {
        let read = File::open(&path).map_err(|error| error.to_string()).and_then(|file| {
            Recording::read(BufReader::new(file)).map_err(|error| error.to_string())
        });
        let recording = match read {
            Ok(recording) => recording,
            Err(error) => {
                eprintln!("{path}: {error}");
                good = false;
                continue;
            }
        };
        let (objects, events) = (recording.objects().len(), recording.events().len());
        let cut = if recording.truncated() { ", the last line cut off" } else { "" };
        match recording.verify() {
            Ok(()) => println!("{path}: {objects} objects, {events} events{cut}: replayed"),
            Err(mismatch) => {
                println!("{path}: {objects} objects, {events} events{cut}: {mismatch}");
                good = false;
            }
        }
        let mut timelines = recording.timelines();
        timelines.retain(|timeline| timeline.is_alive());
        if !timelines.is_empty() {
            println!("{} still alive at the end\n", timelines.len());
            Terminal::stdout().limit(3).print(&timelines);
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
