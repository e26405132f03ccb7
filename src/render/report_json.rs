use super::json::Json;
use super::report::outside;
use crate::analysis::{Leak, LeakReport, Part, ReportKind, totals};
use crate::event::Location;
use crate::model::Handle;
use std::fmt::Write as _;

/// Objects of one cause that are named.
const IDS: usize = 1_000;

/// Returns a leak report as JSON, one object on one line:
///
/// ```json
/// {"refscope_leaks":2, "verdict":"…", "passes":false, "when":"exit", "objects":3, "allowed":0, "traced_nothing":false,
///  "outside":null, "untraced":{"objects":0,"events":0},
///  "leaks":[{"fingerprint":"3f2a9c01d5b7e860",
///    "cause":{"op":"clone","file":"src/main.rs","line":12,"column":20}, "parts":[{"part":"static","name":"POOL","count":3}], "in_cycle":false,
///    "count":3, "bytes":72, "age_ns":1200, "help":"…", "ids":[1,2,3], "faults":[2,2,2],
///    "objects":[{"kind":"Rc", "type":"app::Session", "count":3, "bytes":72, "file":"src/main.rs","line":10,"column":17}],
///    "retained":[],
///    "handles":[{"count":3, "fault":true, "strength":"strong", "thread":"main", "age_ns":900, "raw":false, "span":null,
///      "path":[{"op":"new","file":"src/main.rs","line":10,"column":17}, …]}],
///    "example":{"id":1, "kind":"Rc", "type":"app::Session", "label":null, "thread":"main", "span":null, "strong":1,
///      "file":"src/main.rs","line":10,"column":17}}]}
/// ```
///
/// `when` is `check`, `exit`, `mark`, `stopped` or `now`. Of each cause, `count`, `bytes` and `handles` are totals over all its
/// objects (`count` and `bytes` with those that are `retained` below it); bytes are the values' own, without what they have
/// on the heap. Of handles that came about alike `count` says how many there are, and the rest is the youngest one's; a
/// path ends with `into raw` or `leak` where `raw` is true. `ids` are the first thousand
/// objects, `faults` the numbers of the handles that keep them, or null; `example` is the oldest object.
///
/// Keys may be added in later versions; `refscope_leaks` is the version, and changes when one changes its meaning.
pub fn report_json(report: &LeakReport) -> String {
    let mut text = String::new();
    let when = match report.kind {
        ReportKind::Check => "check",
        ReportKind::Exit => "exit",
        ReportKind::Mark => "mark",
        ReportKind::Stopped => "stopped",
        ReportKind::Alive => "now",
    };
    let _ = write!(
        text,
        r#"{{"refscope_leaks":2,"verdict":{},"passes":{},"when":"{when}","objects":{},"allowed":{},"traced_nothing":{},"outside":{},"untraced":{{"objects":{},"events":{}}},"leaks":["#,
        Json(&report.verdict()),
        report.passes(),
        report.objects,
        report.allowed,
        report.traced_nothing,
        optional(outside(report).as_deref()),
        report.untraced.objects(),
        report.untraced.lost
    );
    for (number, leak) in report.leaks.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        write_leak(&mut text, leak);
    }
    text.push_str("]}");
    text
}

fn place(place: &Location) -> String {
    let (file, line, column) = (Json(&place.file), place.line, place.column);
    format!(r#""file":{file},"line":{line},"column":{column}"#)
}

fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| Json(text).to_string())
}

fn write_leak(text: &mut String, leak: &Leak) {
    let example = leak.example();
    let shown = || leak.all_objects().take(IDS);
    let ids: Vec<_> = shown().map(|object| object.id.number().to_string()).collect();
    let faults: Vec<_> = shown()
        .map(|object| {
            object.fault().map_or("null".to_owned(), |handle| handle.id.number().to_string())
        })
        .collect();
    let op = optional(leak.cause.op.map(|op| op.name()));
    let location =
        leak.cause.location.as_ref().map_or_else(String::new, |at| format!(",{}", place(at)));
    let part = |part: &Part| match part {
        Part::Leaked => "leaked",
        Part::Raw => "raw",
        Part::Thread(_) => "thread",
        Part::Static(_) => "static",
        Part::Stack(_) => "stack",
        Part::Unknown => "unknown",
    };
    let name = |part: &Part| match part {
        Part::Thread(name) | Part::Static(name) | Part::Stack(name) => Json(name).to_string(),
        Part::Leaked | Part::Raw | Part::Unknown => "null".to_owned(),
    };
    let parts = leak.parts.iter().map(|(of, objects)| {
        format!(r#"{{"part":"{}","name":{},"count":{objects}}}"#, part(of), name(of))
    });
    let parts = parts.collect::<Vec<_>>().join(",");
    let _ = write!(
        text,
        r#"{{"fingerprint":"{:016x}","cause":{{"op":{op}{location}}},"parts":[{parts}],"in_cycle":{},"count":{},"bytes":{},"age_ns":{},"help":{},"ids":[{}],"faults":[{}],"objects":["#,
        leak.fingerprint,
        leak.in_cycle,
        leak.count(),
        leak.bytes(),
        leak.age.as_nanos(),
        Json(&leak.help),
        ids.join(","),
        faults.join(",")
    );
    write_totals(text, &leak.objects);
    text.push_str(r#"],"retained":["#);
    write_totals(text, &leak.retained);
    text.push_str(r#"],"handles":["#);
    let now = example.created.as_nanos().saturating_add(leak.age.as_nanos() as u64);
    for (number, group) in leak.handles.iter().enumerate() {
        let handle = &group.example;
        let _ = write!(
            text,
            r#"{}{{"count":{},"fault":{},"strength":"{}","thread":{},"age_ns":{},"raw":{},"span":{},"path":[{}]}}"#,
            if number > 0 { "," } else { "" },
            group.count,
            group.is_fault,
            handle.strength,
            Json(&handle.thread),
            now.saturating_sub(handle.created.as_nanos()),
            handle.raw,
            optional(handle.span.as_deref()),
            path(handle)
        );
    }
    let _ = write!(
        text,
        r#"],"example":{{"id":{},"kind":"{}","type":{},"label":{},"thread":{},"span":{},"strong":{},{}}}}}"#,
        example.id.number(),
        example.kind,
        Json(&example.type_name),
        optional(example.label.as_deref()),
        Json(&example.thread),
        optional(example.span.as_deref()),
        example.strong,
        place(&example.location)
    );
}

fn write_totals(text: &mut String, objects: &[crate::model::LiveObject]) {
    for (number, total) in totals(objects).iter().enumerate() {
        let _ = write!(
            text,
            r#"{}{{"kind":"{}","type":{},"count":{},"bytes":{},{}}}"#,
            if number > 0 { "," } else { "" },
            total.kind,
            Json(&total.type_name),
            total.objects,
            total.bytes,
            place(&total.location)
        );
    }
}

fn path(handle: &Handle) -> String {
    let steps = handle.path.iter().chain(&handle.left).map(|step| {
        let at = step.location.as_ref();
        let at = at.map_or_else(String::new, |at| format!(",{}", place(at)));
        let cut = if step.cut { r#","cut":true"# } else { "" };
        format!(r#"{{"op":{}{at}{cut}}}"#, Json(step.op.name()))
    });
    steps.collect::<Vec<_>>().join(",")
}
