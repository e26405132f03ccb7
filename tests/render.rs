//! The terminal's timelines, compared whole with texts that a person has read: `tests/render/*.txt`.
//!
//! `REFSCOPE_BLESS=1 cargo test --test render` writes the texts anew; read them before you commit them.
#![cfg(feature = "trace")]

use refscope::render::Terminal;
use refscope::sink::{Clock, Recorder};
use refscope::{Arc, Box, Rc, Scope, StdPtr};
use std::path::PathBuf;

/// What happens in the pictures. One test alone in its process, so that objects are numbered from 1.
fn story() -> Recorder {
    let recorder = Recorder::builder().budget(1 << 20).clock(Clock::None).build();
    Scope::new(recorder.clone()).run(|| {
        // A cache that a few hold, one for good.
        let cache = Arc::new([0_u64; 4]);
        refscope::label(&cache, "cache");
        let kept = cache.clone();
        let weak = Arc::downgrade(&cache);
        drop(weak.upgrade());
        drop(cache);
        std::mem::forget((kept, weak));
        // Many clones alike, on two threads.
        let busy = Arc::new(());
        let other = busy.clone();
        let thread = std::thread::Builder::new().name("other".to_owned());
        let work = move || (0..1500).for_each(|_| drop(other.clone()));
        thread.spawn(work).unwrap().join().unwrap();
        (0..20).for_each(|_| drop(busy.clone()));
        drop(busy);
        // Every way to go.
        drop(Rc::new(1_u8));
        let _ = Rc::try_unwrap(Rc::new(2_u16));
        let _ = Rc::new(3_u32).into_std();
        let _: &'static mut u64 = Box::leak(Box::new(4_u64));
        let mut five = Rc::new(5_u64);
        let six = five.clone();
        *Rc::make_mut(&mut five) = 6;
        drop((five, six));
        // More than are shown.
        (0..3).for_each(|_| drop(Box::new([0_u8; 3000])));
    });
    recorder
}

fn compare(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/render/{name}.txt"));
    if std::env::var_os("REFSCOPE_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} is not what {} says", path.display());
}

#[test]
fn timelines() {
    let recording = story().recording();
    recording.verify().unwrap();
    let timelines = recording.timelines();
    for (name, terminal) in [
        ("80", Terminal::plain(80)),
        ("140", Terminal::plain(140)),
        ("60", Terminal::plain(10)),
        ("ascii", Terminal::plain(80).ascii(true)),
        ("color", Terminal::plain(80).color(true).limit(1)),
    ] {
        let text = terminal.render_timelines(&timelines);
        compare(name, &text);
        let width = match name {
            "60" => 60,
            "140" => 140,
            _ => 80,
        };
        if name != "color" {
            for line in text.lines() {
                assert!(line.chars().count() <= width, "wider than {width}: {line}");
            }
        }
        assert!(name != "ascii" || text.is_ascii());
        assert_eq!(text.contains('\x1b'), name == "color");
    }
    assert_eq!(timelines.to_string(), Terminal::plain(80).render_timelines(&timelines));
    a_long_line_is_cut_around_the_call();
}

fn a_long_line_is_cut_around_the_call() {
    let recorder = Recorder::new();
    #[rustfmt::skip]
    let keep = || { let before = "what stands before it, at length"; let kept = Rc::new(9_u8); std::mem::forget(kept); let behind = "what stands behind it"; let _ = (before, behind); };
    Scope::new(recorder.clone()).run(keep);
    let text = Terminal::plain(60).render_timelines(&recorder.recording().timelines());
    let keeper = text.lines().rfind(|line| line.contains("kept by")).expect("it is alive");
    assert!(keeper.contains("= Rc::new(9_u8)"), "{keeper}");
    assert!(keeper.ends_with('…') && keeper.chars().count() <= 60, "{keeper}");
}
