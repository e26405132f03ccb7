//! [`mark`]: moments that have a name.

use crate::event::Time;

/// Names this moment, "all clients are closed" say, for recordings and for the report at the exit.
///
/// What should be gone by now, and isn't, is seen here though its owners go later, at shutdown: a recording keeps the moment
/// (`refscope leaks run.jsonl --at closed`), and where a report at the exit is asked for
/// ([`leaks::on_exit`](crate::leaks::on_exit), `REFSCOPE=leaks`), what is alive is printed now, and at the exit what
/// became of it.
///
/// # Examples
///
/// ```
/// let client = refscope::Arc::new("a client");
/// drop(client);
/// refscope::mark("closed");
/// ```
pub fn mark(name: &str) {
    #[cfg(feature = "trace")]
    {
        let time = Time::now();
        crate::sink::mark_files(name, time);
        crate::monitor::mark(name, time);
    }
    let _ = (name, Time::START);
}
