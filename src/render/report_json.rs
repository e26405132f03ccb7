use super::report::outside;
use super::safe_json;
use crate::analysis::{Leak, LeakReport, Part, ReportKind, totals};
use crate::event::{Kind, Location, ObjectId, Op, Strength};
use crate::model::{Handle, LiveObject, PathStep};
use serde::Serialize;

/// Objects of one cause that are named.
const IDS: usize = 1_000;

/// Returns a leak report as JSON, one object on one line:
///
/// ```json
/// {"refscope_leaks":2, "verdict":"…", "passes":false, "when":"exit", "objects":3, "allowed":0, "traced_nothing":false,
///  "outside":null, "untraced":{"objects":0,"handles":0,"events":0},
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
/// `when` is `check`, `exit`, `mark`, `stopped` or `now`, and a part `leaked`, `likely_leaked`, `raw`, `task`, `thread`, `static`,
/// `thread_local`, `stack` or `unknown`. Of each cause, `count`, `bytes` and `handles` are totals over all its
/// objects (`count` and `bytes` with those that are `retained` below it); bytes are the values' own, without what they have
/// on the heap. Of handles that were made alike `count` says how many there are, and the rest is the youngest one's; a
/// path ends with `into raw` or `leak` where `raw` is true. `ids` are the first thousand
/// objects, `faults` the numbers of the handles that keep them, or null; `example` is the oldest object.
///
/// Keys may be added in later versions; `refscope_leaks` is the version, and changes when one changes its meaning.
pub fn report_json(report: &LeakReport) -> String {
    safe_json::text(&ReportView::new(report))
}

/// What is written of a report.
#[derive(Serialize)]
pub(super) struct ReportView<'a> {
    refscope_leaks: u32,
    verdict: String,
    passes: bool,
    when: &'static str,
    objects: u64,
    allowed: u64,
    traced_nothing: bool,
    outside: Option<String>,
    untraced: Untraced,
    leaks: Vec<LeakView<'a>>,
}

#[derive(Serialize)]
struct Untraced {
    objects: u64,
    handles: u64,
    events: u64,
}

#[derive(Serialize)]
struct LeakView<'a> {
    fingerprint: String,
    cause: Step<'a>,
    parts: Vec<PartView<'a>>,
    in_cycle: bool,
    count: u64,
    bytes: u64,
    age_ns: u128,
    help: String,
    ids: Vec<ObjectId>,
    faults: Vec<Option<u64>>,
    objects: Vec<TotalView>,
    retained: Vec<TotalView>,
    handles: Vec<GroupView<'a>>,
    example: Example<'a>,
}

/// An operation, and its line where that is known.
#[derive(Serialize)]
struct Step<'a> {
    op: Option<Op>,
    #[serde(flatten)]
    location: Option<&'a Location>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

#[derive(Serialize)]
struct PartView<'a> {
    part: &'static str,
    name: Option<&'a str>,
    count: u64,
}

/// The objects of one type and line.
#[derive(Serialize)]
struct TotalView {
    kind: Kind,
    #[serde(rename = "type")]
    type_name: String,
    count: u64,
    bytes: u64,
    #[serde(flatten)]
    location: Location,
}

#[derive(Serialize)]
struct GroupView<'a> {
    count: u64,
    fault: bool,
    strength: Strength,
    thread: &'a str,
    age_ns: u64,
    raw: bool,
    span: Option<&'a str>,
    path: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Example<'a> {
    id: ObjectId,
    kind: Kind,
    #[serde(rename = "type")]
    type_name: &'a str,
    label: Option<&'a str>,
    thread: &'a str,
    span: Option<&'a str>,
    strong: u32,
    #[serde(flatten)]
    location: &'a Location,
}

impl<'a> ReportView<'a> {
    pub(super) fn new(report: &'a LeakReport) -> Self {
        Self {
            refscope_leaks: 2,
            verdict: report.verdict(),
            passes: report.passes(),
            when: match report.kind {
                ReportKind::Check => "check",
                ReportKind::Exit => "exit",
                ReportKind::Mark => "mark",
                ReportKind::Stopped => "stopped",
                ReportKind::Alive => "now",
            },
            objects: report.objects,
            allowed: report.allowed,
            traced_nothing: report.traced_nothing,
            outside: outside(report),
            untraced: Untraced {
                objects: report.untraced.objects(),
                handles: report.untraced.handles_refused,
                events: report.untraced.lost,
            },
            leaks: report.leaks.iter().map(|leak| LeakView::new(report, leak)).collect(),
        }
    }
}

impl<'a> LeakView<'a> {
    fn new(report: &LeakReport, leak: &'a Leak) -> Self {
        let example = leak.example();
        let now = example.created.as_nanos().saturating_add(leak.age.as_nanos() as u64);
        let shown = || leak.all_objects().take(IDS);
        let fault = |object: &LiveObject| Some(object.fault()?.id.number());
        let location = leak.cause.location.as_ref();
        Self {
            fingerprint: format!("{:016x}", leak.fingerprint),
            cause: Step { op: leak.cause.op, location, cut: false },
            parts: leak.parts.iter().map(|(part, &count)| PartView::new(part, count)).collect(),
            in_cycle: leak.in_cycle,
            count: leak.count(),
            bytes: leak.bytes(),
            age_ns: leak.age.as_nanos(),
            help: leak.help.in_report(report.kind).to_string(),
            ids: shown().map(|object| object.id).collect(),
            faults: shown().map(fault).collect(),
            objects: totals_of(&leak.objects),
            retained: totals_of(&leak.retained),
            handles: (leak.handles.iter())
                .map(|group| GroupView {
                    count: group.count,
                    fault: group.is_fault,
                    strength: group.example.strength,
                    thread: &group.example.thread,
                    age_ns: now.saturating_sub(group.example.created.as_nanos()),
                    raw: group.example.raw,
                    span: group.example.span.as_deref(),
                    path: path(&group.example),
                })
                .collect(),
            example: Example {
                id: example.id,
                kind: example.kind,
                type_name: &example.type_name,
                label: example.label.as_deref(),
                thread: &example.thread,
                span: example.span.as_deref(),
                strong: example.strong,
                location: &example.location,
            },
        }
    }
}

impl<'a> PartView<'a> {
    fn new(part: &'a Part, count: u64) -> Self {
        let (part, name) = match part {
            Part::Leaked => ("leaked", None),
            Part::LikelyLeaked => ("likely_leaked", None),
            Part::Raw => ("raw", None),
            Part::Task(name) => ("task", Some(&**name)),
            Part::Thread(name) => ("thread", Some(&**name)),
            Part::Static(name) => ("static", Some(&**name)),
            Part::ThreadLocal(name) => ("thread_local", Some(&**name)),
            Part::Stack(name) => ("stack", Some(&**name)),
            Part::Unknown => ("unknown", None),
        };
        Self { part, name, count }
    }
}

fn totals_of(objects: &[LiveObject]) -> Vec<TotalView> {
    let totals = totals(objects).into_iter().map(|total| TotalView {
        kind: total.kind,
        type_name: total.type_name.into_owned(),
        count: total.objects,
        bytes: total.bytes,
        location: total.location,
    });
    totals.collect()
}

fn path(handle: &Handle) -> Vec<Step<'_>> {
    let steps = handle.path.iter().chain(&handle.left);
    steps
        .map(|PathStep { op, location, cut }| Step {
            op: Some(*op),
            location: location.as_ref(),
            cut: *cut,
        })
        .collect()
}
