//! What a recording says of the process that makes it, and of its sources.

use crate::event::Time;
use crate::render::json::Json;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first line of a recording: the format's version, and which process makes it.
pub(super) fn head() -> String {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let mut line = format!(r#"{{"refscope":1,"pid":{}"#, std::process::id());
    if let Ok(program) = std::env::current_exe() {
        let _ = write!(line, r#","program":{}"#, Json(&program.to_string_lossy()));
    }
    let arguments: Vec<String> = std::env::args_os().skip(1).map(lossy).collect();
    let arguments: Vec<String> = arguments.iter().map(|text| Json(text).to_string()).collect();
    let _ = write!(line, r#","args":[{}]"#, arguments.join(","));
    if let Ok(directory) = std::env::current_dir() {
        let _ = write!(line, r#","dir":{}"#, Json(&directory.to_string_lossy()));
    }
    if let Some(host) = host() {
        let _ = write!(line, r#","host":{}"#, Json(&host));
    }
    // Of the moment from which events count their time.
    let since = Duration::from_nanos(Time::now().as_nanos());
    let start = SystemTime::now().checked_sub(since);
    let start = start.and_then(|start| start.duration_since(UNIX_EPOCH).ok());
    if let Some(start) = start {
        let _ = write!(line, r#","started":{}"#, start.as_millis());
    }
    line.push_str("}\n");
    line
}

#[cfg(unix)]
fn host() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: HOST: the call writes at most as many bytes as it is given room for.
    let done = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let end = name.iter().position(|&byte| byte == 0)?;
    (done == 0).then(|| String::from_utf8_lossy(&name[..end]).into_owned())
}

#[cfg(not(unix))]
fn host() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

/// A line that identifies the text of a source file, if it can be read.
pub(super) fn source(file: &'static str) -> Option<String> {
    let text = crate::render::sources_of_this_process(file)?;
    let (length, hash) = (text.len(), crate::text::hash(&text));
    Some(format!("{{\"source\":{},\"len\":{length},\"hash\":\"{hash:016x}\"}}\n", Json(file)))
}
