//! Recordings that somebody else wrote: no input makes a reader or a report panic, hang, act on the terminal, or show
//! a file that is none of the recording's business.

use proptest::prelude::*;
use refscope::analysis::LeakReport;
use refscope::model::RecordingFile;
use refscope::render::{self, Terminal};
use refscope::sink::{FileSink, FlightRecorder};
use refscope::{Arc, Recording, Scope};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn folder() -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A real recording, whole and as the newest part of a bounded one; and one of each kind that is binary, a packed one last.
fn seeds() -> &'static [Vec<u8>; 5] {
    static SEEDS: OnceLock<[Vec<u8>; 5]> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let [whole, part] = ["seed.jsonl", "part.jsonl"].map(|name| folder().join(name));
        let sinks = [FileSink::create(&whole), FileSink::bounded(&part, 8 << 10)];
        for sink in sinks.map(Result::unwrap) {
            Scope::new(sink.clone()).run(|| {
                for i in 0..12 {
                    let one = Arc::new(i);
                    refscope::label(&one, "a \"label\"");
                    let raw = Arc::into_raw(one.clone());
                    let weak = Arc::downgrade(&one);
                    std::mem::forget((weak.upgrade(), one.clone()));
                    // SAFETY: RAW: it came from `into_raw`, and is taken back once.
                    drop(unsafe { Arc::from_raw(raw) });
                    sink.flush().unwrap();
                }
            });
        }
        let [binary, bounded] =
            ["seed.refscope", "bounded.refscope"].map(|name| folder().join(name));
        // So many rounds that the bounded one has given blocks up.
        let sinks = [
            (FlightRecorder::create(&binary).unwrap(), 12),
            (FlightRecorder::bounded(&bounded, 1).unwrap(), 1_500),
        ];
        for (sink, rounds) in sinks {
            Scope::new(sink.clone()).run(|| {
                for i in 0..rounds {
                    let one = Arc::new(i);
                    refscope::label(&one, "a \"label\"");
                    let raw = Arc::into_raw(one.clone());
                    let weak = Arc::downgrade(&one);
                    if i % 16 == 0 {
                        std::mem::forget((weak.upgrade(), one.clone()));
                    }
                    // SAFETY: RAW: it came from `into_raw`, and is taken back once.
                    drop(unsafe { Arc::from_raw(raw) });
                }
            });
        }
        let packed = folder().join("packed.refscope");
        let file = std::fs::File::create(&packed).unwrap();
        RecordingFile::open(&binary).unwrap().pack(file).unwrap();
        [whole, part, binary, bounded, packed].map(|path| std::fs::read(path).unwrap())
    })
}

/// More than all of these tests need together.
const MOST_MEMORY: u64 = 500 << 20;

/// What a test is inside of: no file makes its reader take much memory. Where the address space can be limited, a reader
/// that does fails by that, and does not take the machine's.
struct LittleMemory;

impl LittleMemory {
    fn new() -> Self {
        #[cfg(target_os = "linux")]
        {
            // Threads reserve some that they do not use.
            let limit = libc::rlimit { rlim_cur: 4 << 30, rlim_max: 4 << 30 };
            // SAFETY: LIMIT: reads the limit that it is given.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
        }
        Self
    }
}

impl Drop for LittleMemory {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if !std::thread::panicking() {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
            assert!(peak << 10 < MOST_MEMORY, "{peak} KiB at the most");
        }
    }
}

/// Everything that can be asked of a recording.
fn ask_everything(bytes: &[u8]) {
    let read = Recording::read(bytes);
    let live = Recording::read_live(bytes);
    assert_eq!(read.is_ok(), live.is_ok());
    let (Ok(recording), Ok((tables, live))) = (read, live) else { return };
    assert_eq!((recording.damage(), recording.end_time()), (tables.damage(), tables.end_time()));
    let report = LeakReport::new(live, tables.end_time());
    let texts = [
        report.to_string(),
        LeakReport::of_recording(&recording).to_string(),
        report.annotations(),
        report.json(),
        recording.timelines().to_string(),
        recording.verify().err().map_or_else(String::new, |wrong| wrong.to_string()),
        recording.damage().iter().map(|damage| damage.to_string()).collect(),
    ];
    let timelines = recording.timelines();
    for timeline in &timelines {
        shows_only(&Terminal::plain(80).tree(&timelines, timeline));
        render::dot(&timelines, timeline);
    }
    texts.iter().for_each(|text| shows_only(text));
    render::html(&timelines);
    render::perfetto(&timelines, &mut Vec::new()).unwrap();
    ask_file(bytes, &recording);
}

/// The same of its file, in passes; and of what it is when it is packed.
fn ask_file(bytes: &[u8], recording: &Recording) {
    let path = folder().join(format!("asked-{:?}", std::thread::current().id()));
    std::fs::write(&path, bytes).unwrap();
    let file = RecordingFile::open(&path).unwrap();
    let mut packed = Vec::new();
    file.pack(&mut packed).unwrap();
    let read = Recording::read(&packed[..]).unwrap();
    assert_eq!(read.events(), recording.events());
    assert_eq!(read.objects(), recording.objects());
    assert_eq!((read.end_time(), read.lost()), (recording.end_time(), recording.lost()));
    let survey = file.survey(3, |_| true).unwrap();
    assert!(survey.objects >= recording.timelines().len() as u64 && survey.first.len() <= 3);
    if let Some(&object) = recording.objects().keys().next() {
        file.balance(object).unwrap();
        let one = file.objects(&[object].into()).unwrap();
        let all = recording.events().iter().filter(|event| event.object() == object);
        assert!(one.events().iter().eq(all));
    }
    render::jsonl_of(&file, |_| true, &mut Vec::new()).unwrap();
    render::perfetto_of(&file, |_| true, &mut Vec::new()).unwrap();
}

/// Nothing in it acts on a terminal.
fn shows_only(text: &str) {
    let acts = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(acts), "{text:?}");
}

#[derive(Clone, Debug)]
enum Mutation {
    Byte(usize, u8),
    Cut(usize, usize),
    Copy(usize, usize, usize),
    /// In place of the number that is found from there on.
    Number(usize, u64),
    Insert(usize, &'static str),
    /// A word of a binary recording, in the head of a block or where entries and records are.
    Word(usize, u64),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = || any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    let extreme = prop_oneof![
        Just(0_u64),
        Just(1),
        Just(2),
        Just(u64::from(u32::MAX)),
        Just(1 << 40),
        Just(i64::MAX as u64),
        Just(u64::MAX),
        any::<u64>(),
    ];
    let piece = prop::sample::select(vec![
        "\u{1b}]52;c;AAAA\u{7}",
        "\\u001b[2J",
        "\u{202e}",
        "\r",
        "\n",
        "\"",
        "{",
        "[[[[[[[[[[",
        "-1",
        "1e400",
        "\u{0}",
        ",\"weak\":-9223372036854775808",
        ",\"earlier\":18446744073709551615",
        "{\"lost\":18446744073709551615}\n",
        "{\"refscope\":1,\"pid\":1}\n",
    ]);
    let one = prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        1 => (at(), 1_usize..400).prop_map(|(at, len)| Mutation::Cut(at, len)),
        2 => (at(), at(), 1_usize..400).prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
        6 => (at(), extreme).prop_map(|(at, number)| Mutation::Number(at, number)),
        2 => (at(), piece).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        4 => (at(), any::<u64>()).prop_map(|(at, word)| Mutation::Word(at, word)),
        4 => (at(), 0_u32..64).prop_map(|(at, bit)| Mutation::Word(at, 1 << bit)),
    ];
    prop::collection::vec(one, 1..8)
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    // Past the head, mostly: without one nothing is read.
    let len = bytes.len().max(1);
    let place = |at: usize| at % len;
    match *mutation {
        Mutation::Byte(at, byte) => bytes[place(at)] = byte,
        Mutation::Cut(at, length) => {
            let at = place(at);
            bytes.drain(at..(at + length).min(len));
        }
        Mutation::Copy(from, to, length) => {
            let from = place(from);
            let copy = bytes[from..(from + length).min(len)].to_vec();
            let to = place(to);
            bytes.splice(to..to, copy);
        }
        Mutation::Number(at, number) => {
            let at = place(at);
            let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit) else { return };
            let start = at + start;
            let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            bytes.splice(start..start + digits, number.to_string().into_bytes());
        }
        Mutation::Word(at, word) => {
            // Half of them in the first slots of a block, half anywhere; bytes that are not there are none.
            let block = place(at) & !0x3fff;
            let at = if at & 1 == 0 { block + (at >> 1) % 256 } else { place(at) } & !7;
            for (to, byte) in bytes.iter_mut().skip(at).zip(word.to_ne_bytes()) {
                *to = byte;
            }
            // Checksums are not to keep the rest from being read.
            for (to, byte) in
                bytes.iter_mut().skip(block + 24).zip([0; 8]).take(if block > 0 { 8 } else { 0 })
            {
                *to = byte;
            }
        }
        Mutation::Insert(at, piece) => {
            let at = place(at);
            bytes.splice(at..at, piece.bytes());
        }
    }
}

/// So many cases, or as many as `PROPTEST_CASES` in the environment says.
fn cases(unless_told: u32) -> ProptestConfig {
    let told = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = told.unwrap_or(unless_told);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn mutated_recordings(seed in prop::sample::select(vec![0_usize, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4]), mutations in mutations()) {
        let _memory = LittleMemory::new();
        let mut bytes = seeds()[seed].clone();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        if bytes.is_empty() {
            return Ok(());
        }
        ask_everything(&bytes);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _memory = LittleMemory::new();
        let mut with_head = b"{\"refscope\":1,\"pid\":1}\n".to_vec();
        with_head.extend(&bytes);
        ask_everything(&with_head);
        let mut with_head = seeds()[2][..16 << 10].to_vec();
        with_head.extend(&bytes);
        ask_everything(&with_head);
        ask_everything(&bytes);
    }
}

const TABLES: &str = r#"{"refscope":1,"pid":7}
{"thread":1,"name":"main"}
{"site":1,"file":"src/main.rs","line":1,"column":1}
{"type":1,"name":"T"}
"#;

#[test]
fn numbers_at_their_limits() {
    let _memory = LittleMemory::new();
    let max = u64::MAX;
    let object =
        |id: u64| format!(r#"{{"object":{id},"kind":"Rc","type":1,"size":{max},"site":1}}"#);
    let event = |op: &str, o: u64, n: u64, h: u64| {
        format!(r#"{{"event":"{op}","o":{o},"n":{n},"h":{h},"s":4294967295,"t":1,"ns":{max}}}"#)
    };
    let head = format!(
        r#"{{"object":9,"kind":"Rc","type":1,"size":1,"site":1,"earlier":{max},"strong":7,"weak":{}}}"#,
        i64::MAX
    );
    // A history from the first nanosecond to the last: told apart by time, since it has many.
    let lasting = (0..20).map(|n| {
        let ns = if n < 19 { n } else { max };
        format!(r#"{{"event":"downgrade","o":3,"n":{0},"h":{0},"s":1,"t":1,"ns":{ns}}}"#, n + 1)
    });
    let lasting = lasting.collect::<Vec<_>>().join("\n");
    let lines = [
        object(1),
        object(2),
        object(3),
        lasting,
        event("new", 1, 1, 1),
        event("new", 2, 1, 1),
        event("clone", 1, max, max),
        event("clone", 1, max - 1, max - 1),
        event("drop", 2, max, 1),
        head,
        event("downgrade", 9, max, max),
        event("downgrade", 9, 5, 5),
        format!(r#"{{"lines":1,"from":{},"text":"the last line\n\none more"}}"#, u32::MAX),
    ];
    ask_everything(format!("{TABLES}{}\n", lines.join("\n")).as_bytes());
}

/// Each cloned from the one before.
#[test]
fn a_deep_tree_is_as_long_as_it_has_handles() {
    let _memory = LittleMemory::new();
    let object = r#"{"object":1,"kind":"Rc","type":1,"size":1,"site":1}"#;
    let new = r#"{"event":"new","o":1,"n":1,"h":1,"s":1,"t":1,"ns":1}"#;
    let clone = |n: u32| {
        let from = n - 1;
        format!(
            "{{\"event\":\"clone\",\"o\":1,\"n\":{n},\"h\":{n},\"s\":{n},\"t\":1,\"ns\":1,\"f\":{from}}}\n"
        )
    };
    let handles = 60_000;
    let clones: String = (2..=handles).map(clone).collect();
    let recording =
        Recording::read(format!("{TABLES}{object}\n{new}\n{clones}").as_bytes()).unwrap();
    let timelines = recording.timelines();
    let tree = Terminal::plain(80).tree(&timelines, timelines.iter().next().unwrap());
    assert_eq!(tree.lines().count() as u32, handles + 1);
    assert!(tree.lines().all(|line| line.chars().count() < 200), "{}", tree.len());
    let last = tree.lines().last().unwrap();
    assert!(last.starts_with("…59975 ") && last.ends_with("└─ 60000 clone  main  alive"), "{last}");
}

#[test]
fn a_damaged_stretch_is_left_out_with_its_extent_and_the_rest_is_read() {
    let _memory = LittleMemory::new();
    let text = String::from_utf8(seeds()[0].clone()).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let at = lines.iter().position(|line| line.contains("\"downgrade\"")).unwrap();
    let whole = Recording::read(text.as_bytes()).unwrap();
    lines.splice(at..=at, ["\0\0\0\0".to_owned(), "{\"event\":\"clone\"".to_owned()]);
    let damaged = Recording::read(format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
    assert_eq!(damaged.events().len(), whole.events().len() - 1);
    let [damage] = damaged.damage() else { panic!("{:?}", damaged.damage()) };
    assert_eq!((damage.line, damage.lines, damage.bytes), (at as u64 + 1, 2, 5 + 17));
    // Another process's recording that was written into the same file is not mixed in.
    let mixed = format!("{text}{TABLES}");
    let mixed = Recording::read(mixed.as_bytes()).unwrap();
    assert_eq!(mixed.events(), whole.events());
    assert!(mixed.damage()[0].reason.contains("another process"), "{:?}", mixed.damage());
}

/// A recording with one leak on line 1 of a file.
fn leak_on(file: &str, type_name: &str) -> String {
    let json = |text: &str| serde_json::to_string(text).unwrap();
    let tables = TABLES.replace("\"src/main.rs\"", &json(file)).replace("\"T\"", &json(type_name));
    format!(
        "{tables}{}\n{}\n",
        r#"{"object":1,"kind":"Rc","type":1,"size":4,"site":1}"#,
        r#"{"event":"new","o":1,"n":1,"h":1,"s":1,"t":1,"ns":10,"at":1}"#
    )
}

fn everything_shown(text: &str, root: &Path) -> String {
    let recording = Recording::read(text.as_bytes()).unwrap();
    let report = LeakReport::of_recording(&recording);
    let terminal = Terminal::plain(100).source(root);
    let timelines = recording.timelines();
    format!(
        "{}{}{}{}",
        terminal.render_report(&report),
        terminal.render_timelines(&timelines),
        report,
        render::html(&timelines)
    )
}

#[test]
fn source_is_shown_from_below_the_root_and_nowhere_else() {
    let _memory = LittleMemory::new();
    // Outside of the working directory, below which source is read as well.
    let folder = std::env::temp_dir().join(format!("refscope-sources-{}", std::process::id()));
    let root = folder.join("root");
    std::fs::create_dir_all(root.join("src")).unwrap();
    std::fs::write(folder.join("secret.rs"), "let password = \"hunter2\";\n").unwrap();
    std::fs::write(root.join("secret.txt"), "let password = \"hunter2\";\n").unwrap();
    std::fs::write(root.join("src/main.rs"), "let session = open();\n").unwrap();
    assert!(everything_shown(&leak_on("src/main.rs", "T"), &root).contains("let session"));
    let mut names = vec![
        folder.join("secret.rs").to_str().unwrap().to_owned(),
        "../secret.rs".to_owned(),
        "src/../../secret.rs".to_owned(),
        "secret.txt".to_owned(),
        root.join("secret.txt").to_str().unwrap().to_owned(),
        "/dev/zero".to_owned(),
        "/dev/urandom".to_owned(),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.join("secret.rs"), root.join("src/link.rs")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", root.join("src/zero.rs")).unwrap();
        std::os::unix::fs::symlink(root.join("secret.txt"), root.join("src/note.rs")).unwrap();
        std::process::Command::new("mkfifo").arg(root.join("pipe.rs")).status().unwrap();
        names.extend(["src/link.rs", "src/zero.rs", "src/note.rs", "pipe.rs"].map(str::to_owned));
        // From the root of the file system, too: what says whose a line is looks there.
        let absolute = ["src/zero.rs", "pipe.rs"].map(|name| root.join(name));
        names.extend(absolute.map(|name| name.to_str().unwrap().to_owned()));
    }
    for name in names {
        let shown = everything_shown(&leak_on(&name, "T"), &root);
        assert!(!shown.contains("hunter2"), "{name}: {shown}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn names_act_neither_on_a_terminal_nor_in_a_page() {
    let _memory = LittleMemory::new();
    let name = "a\u{1b}]52;c;QQ==\u{7}\r\u{202e}<!--<script></script>";
    let text = leak_on(name, name);
    ask_everything(text.as_bytes());
    let page = render::html(&Recording::read(text.as_bytes()).unwrap().timelines());
    let data = &page[page.find("\"end\":").unwrap()..];
    let data = &data[..data.find("</script>").expect("it ends where its element does")];
    assert!(data.ends_with("}}") && !data.contains('<') && !data.contains('\u{202e}'), "{data}");
}

const BLOCK: usize = 16 << 10;
const PART: usize = 8_192;

/// The head of a real binary recording, and behind it blocks of entries: of each its first word, its key and its text.
fn with_entries(blocks: &[(u64, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = seeds()[2][..BLOCK].to_vec();
    let recording = u64::from_ne_bytes(bytes[32..40].try_into().unwrap());
    for (sequence, &(first, key, text)) in (1..).zip(blocks) {
        let slots = 3 + text.len().div_ceil(32) as u64;
        let head = [0x5246_5342 << 32 | 2, sequence, slots, 0, recording, 0, 0, 0];
        let start = bytes.len();
        bytes.extend(head.iter().chain(&[first, key, 0, 0]).flat_map(|word| word.to_ne_bytes()));
        bytes.extend(text);
        bytes.resize(start + BLOCK, 0);
    }
    bytes
}

/// Parts of the name of a thread, which go on and on.
fn parts(count: usize, last: &[u8]) -> Recording {
    let part = [b'x'; PART];
    let entry = |part: usize, text: &[u8]| 9 << 56 | (part as u64) << 32 | text.len() as u64;
    let mut blocks: Vec<_> =
        (0..count).map(|number| (entry(number, &part), 7, &part[..])).collect();
    blocks.push((entry(count, last), 7, last));
    Recording::read(&with_entries(&blocks)[..]).unwrap()
}

/// A text of many parts is one text, and takes the memory of one.
#[test]
fn a_text_of_many_parts_is_read_once() {
    let _memory = LittleMemory::new();
    for count in [1, 2, 40] {
        let read = parts(count, b"end");
        let [name] = read.threads() else { panic!("{} texts", read.threads().len()) };
        assert_eq!(**name, format!("{}end", "x".repeat(count * PART)));
        assert_eq!(read.damage(), []);
    }
    // Sixteen MiB in one text, of which all prefixes together had seventeen GiB.
    let read = parts(2_047, &[b'x'; PART]);
    let [name] = read.threads() else { panic!("{} texts", read.threads().len()) };
    assert!(**name == *"x".repeat(1 << 20), "{} B", name.len());
    let [damage] = read.damage() else { panic!("{:?}", read.damage()) };
    assert_eq!((damage.offset, damage.bytes), (BLOCK as u64 + 64, (15 << 20)));
    assert!(damage.reason.contains("a text is longer than 1048576 B"), "{damage}");
    // Without its beginning it is none; without one in between, what is before that.
    let part = [b'y'; PART];
    let entry = |part: u64| 9 << 56 | part << 32 | PART as u64;
    let read = |numbers: &[u64]| {
        let blocks: Vec<_> = numbers.iter().map(|&number| (entry(number), 7, &part[..])).collect();
        let read = Recording::read(&with_entries(&blocks)[..]).unwrap();
        read.threads().iter().map(|name| name.len()).collect::<Vec<_>>()
    };
    assert!(read(&[1, 2]).is_empty());
    assert_eq!(read(&[0, 1, 3, 4]), [2 * PART]);
    assert_eq!(read(&[0, 1, 0]), [2 * PART, PART]);
}

/// A number as a recording has it, or one that it never has.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![12 => 0_u64..6, 1 => Just(u64::MAX), 1 => Just(i64::MIN as u64), 1 => Just(1 << 39), 1 => any::<u64>()]
}

/// An entry: its slots.
fn entry() -> impl Strategy<Value = Vec<[u64; 4]>> {
    let bytes = prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..40),
        3 => prop::collection::vec(number(), 6..8)
            .prop_map(|words| words.iter().flat_map(|word| word.to_ne_bytes()).collect()),
        1 => any::<u8>().prop_map(|byte| vec![byte; PART]),
    ];
    let part = prop_oneof![4 => Just(0_u64), 1 => 0_u64..4];
    (1_u64..23, part, number(), number(), number(), bytes).prop_map(
        |(kind, part, key, first, second, bytes)| {
            let head = [kind << 56 | part << 32 | bytes.len() as u64, key, first, second];
            let text = bytes.chunks(32).map(|slot| {
                std::array::from_fn(|word| {
                    let mut whole = [0; 8];
                    let some = slot.get(8 * word..).unwrap_or_default();
                    let some = &some[..some.len().min(8)];
                    whole[..some.len()].copy_from_slice(some);
                    u64::from_ne_bytes(whole)
                })
            });
            std::iter::once(head).chain(text).collect()
        },
    )
}

/// A record: its slots.
fn record() -> impl Strategy<Value = Vec<[u64; 4]>> {
    let op = prop_oneof![12 => 1_u64..20, 1 => 20_u64..=255, 2 => Just(255)];
    let numbers = (number(), number(), number(), number(), number(), number());
    (op, 0_u64..6, numbers, any::<[u8; 4]>()).prop_map(
        |(op, seq, (strong, handle, object, path, time, size), more)| {
            let first = [
                seq << 24 | strong & 0xff_ffff,
                op << 56 | handle & 0xff_ffff_ffff,
                object << 24 | path & 0xff_ffff,
                time,
            ];
            let [ty, from, stack, _] = more.map(|byte| u64::from(byte % 6));
            let second = (seq == 1).then_some([ty, size, from, stack]);
            std::iter::once(first).chain(second).collect()
        },
    )
}

/// A block of anything that its kind may have: kind, place in the order, slots.
fn block() -> impl Strategy<Value = (u64, u64, Vec<[u64; 4]>)> {
    let slots = prop_oneof![
        prop::collection::vec(entry(), 1..20).prop_map(|entries| (2, entries.concat())),
        prop::collection::vec(entry(), 1..20).prop_map(|entries| (3, entries.concat())),
        prop::collection::vec(record(), 1..60).prop_map(|records| {
            let thread = vec![[1, 255 << 56, 0, 0]];
            (1, std::iter::once(thread).chain(records).collect::<Vec<_>>().concat())
        }),
    ];
    (slots, 1_u64..9).prop_map(|((kind, slots), sequence)| (kind, sequence, slots))
}

proptest! {
    #![proptest_config(cases(200))]

    /// Blocks as they are written, of anything.
    #[test]
    fn blocks_of_anything(blocks in prop::collection::vec(block(), 1..6)) {
        let _memory = LittleMemory::new();
        let mut bytes = seeds()[2][..BLOCK].to_vec();
        let recording = u64::from_ne_bytes(bytes[32..40].try_into().unwrap());
        for (kind, sequence, slots) in blocks {
            let start = bytes.len();
            let len = (2 + slots.len() as u64).min(512);
            let head = [0x5246_5342 << 32 | kind, sequence, len, 0, recording, 0, 0, 0];
            bytes.extend(head.iter().chain(slots.as_flattened()).flat_map(|word| word.to_ne_bytes()));
            bytes.resize(start + BLOCK, 0);
        }
        ask_everything(&bytes);
    }
}
