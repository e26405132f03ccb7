//! The sinks that keep what they get, when tracing is off and they get nothing.

use super::{RecorderBuilder, Sink};
use crate::event::Event;
use crate::model::Recording;
use std::io::{self, Write};
use std::path::Path;

/// Keeps nothing: tracing is off.
#[derive(Clone, Debug, Default)]
pub struct Recorder(());

impl Recorder {
    /// Creates a recorder.
    pub fn new() -> Self {
        Self(())
    }

    /// Returns a builder.
    pub fn builder() -> RecorderBuilder {
        RecorderBuilder::new()
    }

    pub(super) fn built(_: RecorderBuilder) -> Self {
        Self(())
    }

    /// Returns 0.
    pub fn lost(&self) -> u64 {
        0
    }

    /// Returns an empty recording.
    pub fn recording(&self) -> Recording {
        Recording::default()
    }
}

impl Sink for Recorder {
    fn event(&self, _: &Event) {}
}

/// Writes nothing to its file: tracing is off.
#[derive(Clone, Debug)]
pub struct FileSink(());

impl FileSink {
    /// Leaves the file alone: nothing will be written to it, and what is there may be a recording.
    ///
    /// # Errors
    ///
    /// None.
    pub fn create(_: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Leaves the file alone.
    ///
    /// # Errors
    ///
    /// None.
    pub fn bounded(path: impl AsRef<Path>, _: u64) -> io::Result<Self> {
        Self::create(path)
    }

    /// Does nothing.
    pub fn flush_on_panic(&self) {}

    /// Returns 0.
    pub fn lost(&self) -> u64 {
        0
    }

    /// Does nothing.
    ///
    /// # Errors
    ///
    /// None.
    pub fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for FileSink {
    fn event(&self, _: &Event) {}
}

/// Writes nothing to its file: tracing is off.
#[cfg(unix)]
#[derive(Clone, Debug)]
pub struct FlightRecorder(std::path::PathBuf);

#[cfg(unix)]
impl FlightRecorder {
    /// Leaves the file alone: nothing will be written to it, and what is there may be a recording.
    ///
    /// # Errors
    ///
    /// When the path is empty, or relative and there is no working directory.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        std::path::absolute(path).map(Self)
    }

    /// Leaves the file alone.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn bounded(path: impl AsRef<Path>, _: u64) -> io::Result<Self> {
        Self::create(path)
    }

    /// Returns the file's absolute path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns 0.
    pub fn lost(&self) -> u64 {
        0
    }

    /// Does nothing.
    ///
    /// # Errors
    ///
    /// None.
    pub fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
impl Sink for FlightRecorder {
    fn event(&self, _: &Event) {}
}

/// Prints nothing: tracing is off.
#[derive(Debug)]
pub struct Print(());

impl Print {
    /// Creates the sink.
    pub fn stderr() -> Self {
        Self(())
    }

    /// Creates the sink, and drops `writer`.
    pub fn to(_: impl Write + Send + 'static) -> Self {
        Self(())
    }
}

impl Sink for Print {
    fn event(&self, _: &Event) {}
}

/// Does nothing.
pub fn set_source_lines(_: bool) {}
