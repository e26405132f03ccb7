//! Tables of a fleet's recordings, asked by an engine of those that people have: DuckDB, by its package for Python. Where that
//! cannot be had, the reason is printed, and what needs no engine is checked all the same.
#![cfg(all(unix, feature = "parquet"))]

mod common;

use common::path;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use refscope::Recording;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn export(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refscope"));
    command.args(["export", "--format", "parquet"]).args(arguments).output().unwrap()
}

const HOUR: u64 = 3_600_000_000_000;

/// A shop on a machine, from 16:00 on, of whose carts so many stay in each hour; one more goes.
fn record(name: &str, host: &str, pid: u32, stay: &[usize]) -> PathBuf {
    let file = path(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut text = format!(
        "{{\"refscope\":1,\"pid\":{pid},\"program\":\"/srv/shop\",\"args\":[\"--port\",\"80\"],\"dir\":\"/srv\",\"host\":\"{host}\",\
         \"started\":1764000000000}}\n"
    );
    text.push_str("{\"thread\":1,\"name\":\"main\"}\n{\"type\":1,\"name\":\"shop::Cart\"}\n");
    text.push_str("{\"site\":1,\"file\":\"src/cart.rs\",\"line\":7,\"column\":9}\n");
    let mut object = 0;
    for (hour, stay) in (0..).zip(stay) {
        for number in 0..=*stay {
            object += 1;
            let ns = hour * HOUR + number as u64 * 1000;
            text.push_str(&format!(
                "{{\"object\":{object},\"kind\":\"Rc\",\"type\":1,\"size\":8,\"site\":1}}\n\
                 {{\"event\":\"new\",\"o\":{object},\"n\":1,\"h\":1,\"s\":1,\"t\":1,\"ns\":{ns},\"at\":1}}\n\
                 {{\"event\":\"clone\",\"o\":{object},\"n\":2,\"h\":2,\"s\":2,\"t\":1,\"ns\":{},\"f\":1,\"at\":1}}\n",
                ns + 10
            ));
            text.push_str(&drop_of(object, 3, 1, 1, ns + 20));
            if number == *stay {
                text.push_str(&drop_of(object, 4, 2, 0, ns + 30));
            }
        }
    }
    std::fs::write(&file, text).unwrap();
    file
}

fn drop_of(object: usize, seq: usize, handle: usize, strong: usize, ns: u64) -> String {
    format!(
        "{{\"event\":\"drop\",\"o\":{object},\"n\":{seq},\"h\":{handle},\"s\":{strong},\"t\":1,\"ns\":{ns}}}\n"
    )
}

fn fleet(name: &str) -> PathBuf {
    record(&format!("{name}/recordings/a.jsonl"), "one", 7, &[2, 3, 0]);
    record(&format!("{name}/recordings/b.jsonl"), "one", 8, &[1]);
    record(&format!("{name}/recordings/deeper/c.jsonl"), "two", 7, &[0, 4, 1]);
    path(name)
}

fn parts(folder: &Path, table: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for partition in std::fs::read_dir(folder.join(table)).unwrap() {
        let partition = partition.unwrap().path();
        let name = partition.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("process="), "{name}");
        found.extend(std::fs::read_dir(&partition).unwrap().map(|part| part.unwrap().path()));
    }
    found.sort();
    found
}

fn rows(file: &Path) -> i64 {
    let reader = SerializedFileReader::new(File::open(file).unwrap()).unwrap();
    reader.metadata().file_metadata().num_rows()
}

/// The columns that `docs/parquet.md` gives of a table, as the files' schema would have them.
fn documented(table: &str) -> Vec<(String, String, bool)> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("docs/parquet.md")).unwrap();
    let section = text.split(&format!("\n## {table}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    let column = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (name, ty) = (cells.next().unwrap().to_owned(), cells.next().unwrap());
        (name, ty.trim_end_matches('?').to_owned(), ty.ends_with('?'))
    };
    lines.map(column).collect()
}

#[test]
fn the_columns_are_those_that_are_documented() {
    let folder = fleet("columns");
    let to = folder.join("fleet");
    let (from, to_text) = (folder.join("recordings"), to.to_str().unwrap());
    let output = export(&[from.to_str().unwrap(), "-o", to_text]);
    assert!(output.status.success(), "{output:?}");
    for table in ["processes", "objects", "handles", "events", "findings"] {
        let files = parts(&to, table);
        assert_eq!(files.len(), 3, "{table}: {files:?}");
        let reader = SerializedFileReader::new(File::open(&files[0]).unwrap()).unwrap();
        let schema = reader.metadata().file_metadata().schema();
        let columns: Vec<_> = schema
            .get_fields()
            .iter()
            .map(|field| {
                use parquet::basic::{ConvertedType, Repetition, Type};
                let info = field.get_basic_info();
                let ty = match (field.get_physical_type(), info.converted_type()) {
                    (Type::BOOLEAN, _) => "bool",
                    (Type::INT64, ConvertedType::TIMESTAMP_MICROS) => "moment",
                    (Type::INT64, _) => "number",
                    (Type::BYTE_ARRAY, ConvertedType::UTF8) => "text",
                    other => panic!("{table}.{}: {other:?}", field.name()),
                };
                let is_optional = info.repetition() == Repetition::OPTIONAL;
                (field.name().to_owned(), ty.to_owned(), is_optional)
            })
            .collect();
        assert_eq!(columns, documented(table), "{table}");
    }
    let count = |table| parts(&to, table).iter().map(|file| rows(file)).sum::<i64>();
    let all: Vec<_> = ["a", "b", "deeper/c"]
        .map(|name| Recording::open(from.join(format!("{name}.jsonl"))).unwrap())
        .into();
    let objects: usize = all.iter().map(|recording| recording.objects().len()).sum();
    let events: usize = all.iter().map(|recording| recording.events().len()).sum();
    let handles: usize = all
        .iter()
        .flat_map(|recording| {
            recording.timelines().iter().map(|t| t.lifelines.len()).collect::<Vec<_>>()
        })
        .sum();
    assert_eq!(count("objects"), objects as i64);
    assert_eq!(count("events"), events as i64);
    assert_eq!(count("handles"), handles as i64);
    assert_eq!((count("processes"), count("findings")), (3, 3));
    // What is not asked for is in no table, and an earlier export's parts are gone.
    let stale = parts(&to, "events")[0].with_file_name("part-1.parquet");
    std::fs::copy(&parts(&to, "events")[0], &stale).unwrap();
    let output = export(&[from.to_str().unwrap(), "-o", to_text, "--alive"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!stale.exists());
    assert_eq!(count("objects"), 11);
    // A recording of no known process, and one without an object.
    let unknown = path("unknown.jsonl");
    std::fs::write(&unknown, "{\"refscope\":1,\"pid\":7}\n").unwrap();
    let empty = path("empty");
    let output = export(&[unknown.to_str().unwrap(), "-o", empty.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(rows(&parts(&empty, "objects")[0]), 0);
}

#[test]
fn tables_want_a_folder() {
    let file = record("one.jsonl", "one", 7, &[1]);
    let file = file.to_str().unwrap();
    let says = |arguments: &[&str]| {
        let output = export(arguments);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(says(&[file]).contains("tables are several files: -o FOLDER"));
    assert!(says(&[file, "-o", file]).contains("and this is no folder"));
    let bad = path("bad.jsonl");
    std::fs::write(&bad, "hello\n").unwrap();
    let to = path("of-bad");
    let err = says(&[bad.to_str().unwrap(), "-o", to.to_str().unwrap()]);
    assert!(err.contains("bad.jsonl, line 1: not a refscope recording"), "{err}");
    assert!(!to.exists(), "what cannot be read leaves no table");
}

/// Runs SQL in DuckDB, in a folder, and returns its rows as text; `None` where there is no DuckDB.
fn duckdb(folder: &Path, sql: &str) -> Option<Vec<Vec<String>>> {
    const ASK: &str = "import duckdb, json, sys\n\
        rows = duckdb.sql('SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (' + sys.argv[1].strip().rstrip(';') + ')').fetchall()\n\
        print(json.dumps([[cell or 'null' for cell in row] for row in rows]))";
    let python = python_with_duckdb()?;
    let output = Command::new(python)
        .args(["-c", ASK, sql])
        .current_dir(folder)
        .env("TZ", "UTC")
        .output()
        .unwrap();
    assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn python_with_duckdb() -> Option<PathBuf> {
    use std::sync::OnceLock;
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let has = |python: &Path| {
            let output = Command::new(python).args(["-c", "import duckdb"]).output();
            output.is_ok_and(|output| output.status.success())
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("duckdb");
        let own = folder.join("bin/python");
        for python in [Path::new("python3"), &own] {
            if has(python) {
                return Some(python.to_owned());
            }
        }
        let run = |program: &Path, arguments: &[&str]| {
            let mut command = Command::new("timeout");
            let output = command.arg("90").arg(program).args(arguments).output();
            output.is_ok_and(|output| output.status.success())
        };
        let is_made = run("python3".as_ref(), &["-m", "venv", folder.to_str().unwrap()])
            && run(&own, &["-m", "pip", "install", "--quiet", "duckdb"]);
        if is_made && has(&own) {
            return Some(own);
        }
        println!(
            "skipped: DuckDB's package for Python cannot be had here: tables are not asked by an engine"
        );
        None
    };
    PYTHON.get_or_init(find).clone()
}

/// The README's command and its SQL, as they are written there.
#[test]
fn a_fleets_leak_grows_as_the_readme_says() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let sql = readme.split("```sql\n").nth(1).expect("there is SQL").split("```").next().unwrap();
    let command = readme.lines().find(|line| line.contains("--format parquet")).unwrap();
    let folder = fleet("readme");
    let words: Vec<&str> = command.split(" #").next().unwrap().split_whitespace().collect();
    assert_eq!(words[0], "refscope");
    let mut refscope = Command::new(env!("CARGO_BIN_EXE_refscope"));
    let output = refscope.args(&words[1..]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let Some(rows) = duckdb(&folder, sql) else { return };
    let at = |hour: u32| format!("2025-11-24 {hour}:00:00+00");
    let row = |host: &str, hour, stayed: &str| {
        [host, "shop::Cart", "src/cart.rs:7", &at(hour), stayed].map(str::to_owned).to_vec()
    };
    let expected =
        [row("one", 16, "3"), row("one", 17, "6"), row("two", 17, "4"), row("two", 18, "5")];
    assert_eq!(rows, expected);
    // The tables belong together, and give the same as the command.
    let sql = "SELECT f.host, f.process, f.objects, count(*), max(o.strong)
        FROM 'fleet/findings/*/*.parquet' f JOIN 'fleet/objects/*/*.parquet' o USING (process)
        WHERE o.alive GROUP BY ALL ORDER BY ALL";
    let rows = duckdb(&folder, sql).unwrap();
    let row = |host: &str, pid: u32, count: &str| {
        let process = format!("{host}-{pid}-1764000000000");
        [host, &process, count, count, "1"].map(str::to_owned).to_vec()
    };
    assert_eq!(rows, [row("one", 7, "5"), row("one", 8, "1"), row("two", 7, "5")]);
    let sql = "SELECT h.op, h.ended_by, count(*), min(e.strong) FROM 'fleet/handles/*/*.parquet' h
        JOIN 'fleet/events/*/*.parquet' e ON e.process = h.process AND e.object = h.object AND e.seq = h.handle
        GROUP BY ALL ORDER BY ALL";
    let rows = duckdb(&folder, sql).unwrap();
    let counts: Vec<_> = rows.iter().map(|row| row.join(" ")).collect();
    assert_eq!(counts, ["clone drop 7 2", "clone null 11 2", "new drop 18 1"]);
}

/// The most memory that an export has had, in KiB.
#[cfg(target_os = "linux")]
fn peak(file: &Path, to: &Path) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_refscope"))
        .args(["export", "--format", "parquet", "-o"])
        .args([to, file])
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = now.unwrap_or(0).max(most);
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success());
            return most;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Row groups are written as they are full, and nothing is kept of what is over.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_rows() {
    use refscope::sink::FlightRecorder;
    use refscope::{Arc, Scope};

    let record = |name: &str, objects: u64| {
        let file = path(name);
        let flight = FlightRecorder::create(&file).unwrap();
        Scope::new(flight.clone()).run(|| {
            (0..objects).for_each(|number| {
                let one = Arc::new(number);
                drop([one.clone(), one.clone(), one.clone()]);
            });
        });
        flight.flush().unwrap();
        file
    };
    // Of handles and events there are several row groups in the smaller one already.
    let (few, many) = (record("few.refscope", 20_000), record("many.refscope", 60_000));
    // To keep the rows would take a hundred megabytes more.
    let (to_few, to_many) = (path("few-tables"), path("many-tables"));
    let (of_few, of_many) = (peak(&few, &to_few), peak(&many, &to_many));
    let count = |table| parts(&to_many, table).iter().map(|file| rows(file)).sum::<i64>();
    assert_eq!((count("objects"), count("handles"), count("events")), (60_000, 240_000, 480_000));
    println!("{of_few} KiB and {of_many} KiB");
    assert!(of_many < of_few + 32_000, "{of_few} KiB and {of_many} KiB");
}
