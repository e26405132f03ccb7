//! Packed recordings: they read as what was packed, whatever becomes of the file, and an object is found without the rest.
#![cfg(all(unix, feature = "json", feature = "trace"))]

#[path = "common/own_process.rs"]
mod own_process;

use own_process::passed_in_its_own_process;
use refscope::model::{RecordingEnd, RecordingFile};
use refscope::sink::{FileSink, FlightRecorder};
use refscope::{Arc, ObjectId, Rc, Recording, Scope};
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pack-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Objects that come and go, some that stay, and one that is in use all the time.
fn program(rounds: u32) -> Vec<Rc<String>> {
    let shared = Arc::new(7_u64);
    let mut kept = Vec::new();
    for i in 0..rounds {
        let own = Rc::new(format!("{i}"));
        refscope::label(&own, &format!("number {i}"));
        let clones: Vec<_> = (0..3).map(|_| own.clone()).collect();
        drop(Rc::downgrade(&own).upgrade());
        drop(clones);
        drop(shared.clone());
        if i % 100 == 0 {
            kept.push(own);
        }
    }
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let mine = shared.clone();
            std::thread::spawn(move || (0..rounds).for_each(|_| drop(mine.clone())))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let raw = Arc::into_raw(shared);
    // SAFETY: RAW: it came from `into_raw`, and is taken back once.
    drop(unsafe { Arc::from_raw(raw) });
    kept
}

/// A flight recording, its bytes when it is packed, and what it says.
fn packed(name: &str, rounds: u32) -> (Vec<u8>, Recording) {
    let file = path(name);
    let flight = FlightRecorder::create(&file).unwrap();
    let kept = Scope::new(flight.clone()).run(|| program(rounds));
    refscope::mark("done");
    flight.flush().unwrap();
    let packed = pack(&file);
    drop(kept);
    packed
}

/// The same of a file, which may still be written.
fn pack(file: &Path) -> (Vec<u8>, Recording) {
    let copy = file.with_extension("copy");
    std::fs::copy(file, &copy).unwrap();
    let file = &copy;
    let mut packed = Vec::new();
    let (events, bytes) = RecordingFile::open(file).unwrap().pack(&mut packed).unwrap();
    let whole = Recording::open(file).unwrap();
    assert_eq!((events, bytes), (whole.events().len() as u64, packed.len() as u64));
    (packed, whole)
}

/// Everything that a recording says.
fn told(recording: &Recording) -> Vec<String> {
    let objects = recording.objects().values().map(|object| format!("{object:?}"));
    let events = recording.events().iter().map(|event| format!("{event:?}"));
    let tables = [
        format!("{:?}", recording.locations()),
        format!("{:?}", recording.threads()),
        format!("{:?}", recording.spans()),
        format!("{:?}", recording.marks()),
        format!("{:?}", recording.origin()),
        format!("{:?} {:?} {}", recording.end(), recording.end_time(), recording.lost()),
        format!("{:?} {}", recording.damage(), recording.truncated()),
    ];
    objects.chain(events).chain(tables).collect()
}

fn same(read: &Recording, whole: &Recording) {
    let (read, whole) = (told(read), told(whole));
    for (read, whole) in read.iter().zip(&whole) {
        assert_eq!(read, whole);
    }
    assert_eq!(read.len(), whole.len());
}

#[test]
fn it_reads_as_what_was_packed() {
    let (packed, whole) = packed("same.refscope", 3_000);
    assert!(whole.events().len() > 30_000);
    let read = Recording::read(&packed[..]).unwrap();
    same(&read, &whole);
    read.verify().unwrap();
    assert!(packed.len() < 8 * whole.events().len(), "{} B", packed.len());
    // What is alive, too, at the end and at a moment.
    let (_, live) = Recording::read_live(&packed[..]).unwrap();
    assert!(live == whole.live_objects());
    assert!(live.len() > 20);
    let moment = refscope::model::Moment::Mark("done".to_owned());
    let (_, live) = Recording::read_live_at(&packed[..], &moment).unwrap().unwrap();
    assert!(live.len() > 20);
    // Packed again it is the same.
    let file = path("again.refscope");
    std::fs::write(&file, &packed).unwrap();
    assert!(self::pack(&file).0 == packed);
}

/// A bounded recording, whose objects are older than its events; and JSON Lines.
#[test]
fn other_recordings_are_packed_as_well() {
    let file = path("bounded.refscope");
    let flight = FlightRecorder::bounded(&file, 1 << 20).unwrap();
    let kept: Vec<_> = (0..20).map(|_| Scope::new(flight.clone()).run(|| program(1_000))).collect();
    flight.flush().unwrap();
    let (packed, whole) = pack(&file);
    same(&Recording::read(&packed[..]).unwrap(), &whole);
    let (_, live) = Recording::read_live(&packed[..]).unwrap();
    assert!(live == whole.live_objects());
    assert!(live.len() >= kept.iter().map(Vec::len).sum());
    drop(kept);

    let file = path("lines.jsonl");
    let sink = FileSink::create(&file).unwrap();
    let kept = Scope::new(sink.clone()).run(|| program(1_000));
    sink.flush().unwrap();
    let (packed, whole) = pack(&file);
    same(&Recording::read(&packed[..]).unwrap(), &whole);
    drop(kept);
}

/// A file in which every read is counted would need a file system of its own: the system counts them.
#[test]
fn an_object_is_found_without_the_rest() {
    // Other tests read as well.
    if passed_in_its_own_process() {
        return;
    }
    let (packed, whole) = packed("found.refscope", 30_000);
    let file = path("found-packed.refscope");
    std::fs::write(&file, &packed).unwrap();
    assert!(packed.len() > 500_000);
    let file = RecordingFile::open(&file).unwrap();
    // Those of a thousandth of the time.
    let strings: Vec<ObjectId> = whole
        .objects()
        .values()
        .filter(|object| object.type_name.contains("String"))
        .map(|object| object.id)
        .collect();
    for id in [strings[0], strings[strings.len() / 2], *strings.last().unwrap()] {
        let before = bytes_read();
        let found = file.objects(&[id].into()).unwrap();
        let read = bytes_read() - before;
        let mut one = whole.clone();
        one.retain(|object| object.id == id);
        assert_eq!(found.events(), one.events());
        assert!(found.events().len() > 5);
        assert!(read < packed.len() as u64 / 8, "{read} of {} B", packed.len());
    }
}

/// Bytes that this process has asked the system for.
fn bytes_read() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    count.parse().unwrap()
}

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Each event of a part is one of the whole, and as it is there.
fn is_part_of(part: &Recording, whole: &Recording) {
    let mut known: std::collections::HashMap<_, _> =
        whole.events().iter().map(|event| ((event.object(), event.seq), event)).collect();
    for event in part.events() {
        assert_eq!(known.remove(&(event.object(), event.seq)), Some(event));
    }
}

#[test]
fn cut_anywhere_it_reads_to_the_last_whole_chunk() {
    let (packed, whole) = packed("cut.refscope", 1_500);
    let (mut random, mut most) = (Random(3), 0);
    for _ in 0..100 {
        let end = random.below(packed.len());
        match Recording::read(&packed[..end]) {
            Ok(part) => {
                assert!(part.truncated() && part.end() == RecordingEnd::Stopped, "{end}");
                assert_eq!(part.damage(), []);
                is_part_of(&part, &whole);
                Recording::read_live(&packed[..end]).unwrap();
                most = most.max(part.events().len());
            }
            Err(error) => assert!(end < 32, "{end}: {error}"),
        }
    }
    assert!(most > whole.events().len() / 2);
}

/// Where each chunk begins, and where the last one ends.
fn boundaries(packed: &[u8]) -> Vec<usize> {
    let mut bounds = vec![32];
    while let Some(head) = packed.get(bounds[bounds.len() - 1]..).and_then(|rest| rest.get(..12))
        && head.starts_with(&0x4b43_4652_u32.to_le_bytes())
    {
        let bytes = u32::from_le_bytes(head[8..12].try_into().unwrap());
        bounds.push(bounds[bounds.len() - 1] + 32 + bytes as usize);
    }
    bounds
}

#[test]
fn cut_between_chunks_it_has_those_before() {
    let (packed, whole) = packed("bounds.refscope", 3_000);
    let bounds = boundaries(&packed);
    // Behind the last one is the tail.
    assert_eq!((bounds.last(), bounds.len() > 6), (Some(&(packed.len() - 16)), true));
    let mut before = 0;
    for end in bounds {
        let part = Recording::read(&packed[..end]).unwrap();
        assert!(
            part.truncated() && part.end() == RecordingEnd::Stopped
                || part.events().len() == whole.events().len(),
            "{end}"
        );
        assert_eq!(part.damage(), [], "{end}");
        is_part_of(&part, &whole);
        assert!(part.events().len() >= before, "{end}");
        before = part.events().len();
        // By threads of which each has a share, it is as alive as one by one.
        let (_, live) = Recording::read_live(&packed[..end]).unwrap();
        let by_one = part.live_objects();
        assert_eq!(live, by_one, "{end}");
    }
    assert_eq!(before, whole.events().len());
}

#[test]
fn what_a_later_version_packed_is_refused() {
    let (mut packed, _) = packed("later.refscope", 100);
    packed[16] = 3;
    let error = Recording::read(&packed[..]).unwrap_err().to_string();
    let want = "the recording has version 3, and this refscope reads versions 1 and 2: read it with the refscope that wrote it";
    assert!(error.starts_with(want), "{error}");
}

#[test]
fn flipped_bits_leave_out_their_chunk_and_say_so() {
    let (packed, whole) = packed("flipped.refscope", 1_500);
    let (mut random, mut lost) = (Random(5), 0);
    for round in 0..100 {
        let at = 32 + random.below(packed.len() - 32);
        let mut flipped = packed.clone();
        flipped[at] ^= 1 << random.below(8);
        let read = Recording::read(&flipped[..]).unwrap();
        is_part_of(&read, &whole);
        let is_whole = read.events().len() == whole.events().len();
        // The bytes of a head that mean nothing may be anything; an index that is not sound is not needed.
        assert!(
            is_whole || !read.damage().is_empty() || read.truncated(),
            "{round}: byte {at}, and nothing is said"
        );
        lost += usize::from(!is_whole);
    }
    assert!(lost > 30, "{lost}");
}

/// One wrong bit in the tail: the file reads without its index.
#[test]
fn a_tail_with_a_wrong_bit_is_none() {
    let (bytes, whole) = packed("tail.refscope", 300);
    let file = path("tail-flipped.refscope");
    let tail = bytes.len() - 16;
    for bit in 0..16 * 8 {
        let mut flipped = bytes.clone();
        flipped[tail + bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&file, &flipped).unwrap();
        // From its file: the system refuses some offsets.
        let read = Recording::open(&file).unwrap_or_else(|error| panic!("bit {bit}: {error:?}"));
        assert_eq!(read.events(), whole.events(), "bit {bit}");
        assert_eq!(read.objects(), whole.objects(), "bit {bit}");
        let (_, live) = Recording::open_live(&file).unwrap();
        assert_eq!(live.len(), whole.live_objects().len(), "bit {bit}");
    }
}
