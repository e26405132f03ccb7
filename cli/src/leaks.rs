//! `refscope leaks`: what was alive, at the end or at a moment, and what of it is allowed.

use crate::Failed;
use crate::arguments::Filter;
use crate::input::Input;
use refscope::__private::{escape, report_of_living, totals};
use refscope::analysis::{LeakReport, ReportKind};
use refscope::event::Time;
use refscope::model::{LiveObject, Moment, Peak, RecordingEnd};
use refscope::{ObjectId, Recording};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// How `leaks` looks at what was alive.
pub(crate) struct Look<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) allow: &'a [String],
    pub(crate) baseline: Option<&'a Path>,
}

impl Look<'_> {
    pub(crate) fn report(
        &self,
        recording: &Recording,
        mut living: Vec<LiveObject>,
    ) -> Result<LeakReport, Failed> {
        self.filter.living(&mut living);
        for object in &mut living {
            let line = object.location.to_string();
            let is = |what: &String| object.type_name.contains(what) || line.contains(what);
            object.allowed |= self.allow.iter().any(is);
        }
        let report = report_of_living(recording, living);
        match self.baseline {
            Some(path) => Ok(report.without(&baseline(path)?)),
            None => Ok(report),
        }
    }
}

/// The fingerprints that a file lists: words of 8 to 16 hexadecimal digits that begin a line, and those in the brackets or
/// quotes of a report.
fn baseline(path: &Path) -> Result<BTreeSet<String>, Failed> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    let is_print = |word: &&str| {
        (8..=16).contains(&word.len())
            && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut known = BTreeSet::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        known.extend(line.split_whitespace().next().filter(is_print).map(str::to_owned));
        let bracketed = line.trim_end().strip_suffix(']').and_then(|line| line.rsplit_once('['));
        known.extend(bracketed.map(|(_, word)| word).filter(is_print).map(str::to_owned));
        let quoted = line.split("\"fingerprint\":\"").skip(1);
        known.extend(
            quoted.filter_map(|rest| rest.split('"').next()).filter(is_print).map(str::to_owned),
        );
    }
    if known.is_empty() && !text.trim().is_empty() && !text.contains("nothing is alive") {
        return Err(format!("{}: there is no fingerprint in it", path.display()).into());
    }
    Ok(known)
}

/// Peaks that are mentioned.
const MOST_PEAKS: usize = 10;

/// What was dropped shortly before the process ended by itself: growth that its shutdown hides.
pub(crate) fn peaks(
    file: &Input,
    recording: &Recording,
    mut peaks: Vec<Peak>,
    look: &Look<'_>,
) -> Result<Vec<Peak>, Failed> {
    // What was killed has not shut down.
    if recording.end() != RecordingEnd::Exit {
        return Ok(Vec::new());
    }
    let allows = |peak: &Peak| {
        let line = peak.location.to_string();
        look.allow.iter().any(|what| peak.type_name.contains(what) || line.contains(what))
    };
    peaks.retain(|peak| look.filter.accepts_peak(peak) && !allows(peak));
    peaks.truncate(MOST_PEAKS);
    let Some(first) = peaks.first() else { return Ok(peaks) };
    // Another pass, for who held them: the others as far as they were there with the most numerous.
    let moment = Moment::Time(first.time);
    let alive = file.live_at(&moment)?.map_or_else(Vec::new, |(_, alive)| alive);
    for peak in &mut peaks {
        let is_of = |object: &&LiveObject| {
            object.type_name == peak.type_name && object.location == peak.location
        };
        let of: Vec<_> = alive.iter().filter(is_of).cloned().collect();
        let report = LeakReport::new(of, peak.time);
        let most = report.leaks().iter().max_by_key(|leak| leak.count());
        let most = most.filter(|leak| leak.count() * 2 > peak.peak);
        let holder = most.and_then(|leak| leak.cause.location.clone());
        peak.holder = holder.filter(|line| *line != peak.location);
    }
    Ok(peaks)
}

/// Makes lines of text below a report.
pub(crate) fn peaks_text(peaks: &[Peak]) -> String {
    let mut text = String::new();
    if !peaks.is_empty() {
        text.push_str("\ngone at the end, and alive shortly before:\n");
    }
    for peak in peaks {
        text.push_str(&format!("  {peak}\n"));
    }
    text
}

/// Adds the peaks, if there are any, to a report's JSON.
pub(crate) fn with_peaks(report: &LeakReport, peaks: &[Peak]) -> Result<String, Failed> {
    let report = report.json();
    if peaks.is_empty() {
        return Ok(report);
    }
    let peak = |peak: &Peak| {
        let mut json = json!({
            "kind": peak.kind, "type": peak.type_name, "peak": peak.peak, "left": peak.left,
            "ns": peak.time.as_nanos(), "ago_ns": peak.ago.as_nanos() as u64, "holder": peak.holder,
        });
        if let (Some(json), Ok(Value::Object(line))) =
            (json.as_object_mut(), serde_json::to_value(&peak.location))
        {
            json.extend(line);
        }
        json
    };
    let mut json: Value = serde_json::from_str(&report)?;
    json["peaks"] = peaks.iter().map(peak).collect();
    Ok(json.to_string())
}

/// What was alive at a mark or time, and what became of it.
pub(crate) fn at(
    file: &Input,
    at: &str,
    look: &Look<'_>,
) -> Result<(LeakReport, Recording, String), Failed> {
    let moment = nanoseconds(at).map_or_else(
        || Moment::Mark(at.to_owned()),
        |nanoseconds| Moment::Time(Time::from_nanos(nanoseconds)),
    );
    let (whole, end) = file.live()?;
    let read = file.live_at(&moment)?;
    let Some((recording, living)) = read else {
        let names: Vec<&str> = whole.marks().iter().map(|mark| mark.name.as_str()).collect();
        let what = match moment {
            Moment::Time(_) => {
                format!("it ends {:.3} s after its start", whole.end_time().as_nanos() as f64 / 1e9)
            }
            Moment::Mark(_) if names.is_empty() => {
                "it has no marks; a time is as 12.5s or 300ms, after its start".to_owned()
            }
            Moment::Mark(_) => format!("its marks are: {}", names.join(", ")),
        };
        return Err(format!("{}: there is no moment {at:?}; {what}", file.path().display()).into());
    };
    let alive: BTreeSet<ObjectId> = end.iter().map(|object| object.id).collect();
    let mut looked = living.clone();
    look.filter.living(&mut looked);
    let (kept, gone): (Vec<_>, Vec<_>) =
        looked.into_iter().partition(|object| alive.contains(&object.id));
    let mut became = format!(
        "\nof {} alive then, {} were alive at the end of the recording\n",
        kept.len() + gone.len(),
        kept.len()
    );
    for row in totals(&gone).iter().take(10) {
        let (name, line) = (escape(&row.type_name), row.location.to_string());
        became.push_str(&format!(
            "  dropped since: {} x {}<{name}> at {}\n",
            row.objects,
            row.kind,
            escape(&line)
        ));
    }
    let report = look.report(&recording, living)?.with_kind(ReportKind::Mark);
    Ok((report, recording, became))
}

/// `12.5`, `12.5s`, `300ms`, `2min`, in nanoseconds.
fn nanoseconds(text: &str) -> Option<u64> {
    let units = [("ms", 1e6), ("min", 60e9), ("s", 1e9), ("", 1e9)];
    let (number, unit) =
        units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let number: f64 = number.trim_end().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some((number * unit) as u64)
}

/// Which process made the recording, in a line.
pub(crate) fn about(recording: &Recording) -> String {
    let Some(origin) = recording.origin().filter(|origin| !origin.program.is_empty()) else {
        return String::new();
    };
    let mut text = origin.program.clone();
    for argument in &origin.arguments {
        text.push(' ');
        text.push_str(argument);
    }
    let started = utc(origin.started / 1000);
    let (pid, host, directory) = (origin.pid, &origin.host, &origin.directory);
    let text = format!("{text}\nprocess {pid} on {host} in {directory}, from {started}");
    text.lines().map(|line| format!("{}\n", escape(line))).collect()
}

/// Seconds since 1970 as a date and time, in UTC.
pub(crate) fn utc(seconds: u64) -> String {
    // Days to a date: Howard Hinnant's `civil_from_days`.
    let (days, rest) = ((seconds / 86_400) as i64 + 719_468, seconds % 86_400);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::{nanoseconds, utc};

    #[test]
    fn moments() {
        for (text, is) in [
            ("0", Some(0)),
            ("12.5", Some(12_500_000_000)),
            ("12.5s", Some(12_500_000_000)),
            ("300ms", Some(300_000_000)),
            ("2min", Some(120_000_000_000)),
            ("-1s", None),
            ("inf", None),
            ("closed", None),
            ("ms", None),
        ] {
            assert_eq!(nanoseconds(text), is, "{text}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_826_009), "2000-02-29 12:06:49 UTC");
        assert_eq!(utc(1_735_689_599), "2024-12-31 23:59:59 UTC");
    }
}
