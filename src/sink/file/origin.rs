//! What a recording says of the process that makes it.

use crate::event::Time;
use crate::json::Json;
use crate::model::Origin;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first line of a recording: the format's version, and which process makes it.
pub(super) fn head() -> String {
    let Origin { pid, program, arguments, directory, host, started, .. } = this_process();
    let mut line = format!(r#"{{"refscope":1,"pid":{pid}"#);
    let mut put = |name: &str, text: &str| {
        if !text.is_empty() {
            let _ = write!(line, r#","{name}":{}"#, Json(text));
        }
    };
    put("program", &program);
    put("dir", &directory);
    put("host", &host);
    let arguments: Vec<String> = arguments.iter().map(|text| Json(text).to_string()).collect();
    let _ = write!(line, r#","args":[{}]"#, arguments.join(","));
    if started != 0 {
        let _ = write!(line, r#","started":{started}"#);
    }
    line.push_str("}\n");
    line
}

/// What is known of this process. What is not is empty, or 0.
pub(in crate::sink) fn this_process() -> Origin {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    let path = |path: std::io::Result<PathBuf>| path.map(PathBuf::into_os_string).map(lossy);
    // Of the moment from which events count their time.
    let since = Duration::from_nanos(Time::now().as_nanos());
    let start = SystemTime::now().checked_sub(since);
    let start = start.and_then(|start| start.duration_since(UNIX_EPOCH).ok());
    Origin {
        pid: std::process::id(),
        program: path(std::env::current_exe()).unwrap_or_default(),
        arguments: std::env::args_os().skip(1).map(lossy).collect(),
        directory: path(std::env::current_dir()).unwrap_or_default(),
        host: host().unwrap_or_default(),
        started: start.map_or(0, |start| start.as_millis().try_into().unwrap_or(0)),
        build: String::new(),
    }
}

#[cfg(all(unix, not(miri)))]
fn host() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: HOST: the call writes at most as many bytes as it is given room for.
    let done = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let end = name.iter().position(|&byte| byte == 0)?;
    (done == 0).then(|| String::from_utf8_lossy(&name[..end]).into_owned())
}

#[cfg(not(all(unix, not(miri))))]
fn host() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}
