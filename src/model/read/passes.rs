//! One pass over a recording, by whoever takes it in.

use super::parts::{Fold, Parts, fold_in_order, fold_shares};
use super::{Item, ReadError, What, binary, is_regular, json, packed};
use crate::event::ObjectId;
use crate::model::format::{BYTE_ORDER, MAGIC};
use crate::model::packed::VERSION;
use crate::model::{Recording, RecordingEnd};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _};
use std::path::Path;

/// A recording's bytes.
pub(super) enum Input<R> {
    /// With their length in bytes; 0 where it is not known.
    Lines(R, u64),
    Parts(Box<dyn super::source::Source>),
}

impl<R: BufRead> Input<R> {
    /// Of a pipe: what has no lines is read into memory.
    pub(super) fn of(mut input: R, length: u64) -> Result<Self, ReadError> {
        let failed = |error| ReadError::at(1, What::Io(error));
        let first = loop {
            match input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(failed)?.first().copied(),
            }
        };
        if first != Some(MAGIC[0]) {
            return Ok(Self::Lines(input, length));
        }
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map_err(|error| ReadError::at(0, What::Io(error)))?;
        Ok(Self::Parts(Box::new(bytes)))
    }
}

impl Input<BufReader<File>> {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        Self::of_file(File::open(path).map_err(|error| ReadError::at(0, What::Io(error)))?)
    }

    /// Of a file, from its beginning.
    pub(super) fn of_file(mut file: File) -> Result<Self, ReadError> {
        let failed = |error| ReadError::at(0, What::Io(error));
        let mut length = 0;
        if is_regular(&file) {
            length = file.metadata().map_err(failed)?.len();
            file.rewind().map_err(failed)?;
            let mut first = [0];
            let read = file.read(&mut first).map_err(failed)?;
            if read == 1 && first[0] == MAGIC[0] {
                return Ok(Self::Parts(Box::new(file)));
            }
            file.rewind().map_err(failed)?;
        }
        Self::of(BufReader::with_capacity(1 << 20, file), length)
    }
}

/// A recording whose tables are read, as far as they come first.
pub(super) enum Opened<R> {
    Lines(R, u64),
    Parts(Box<dyn Parts>),
}

pub(super) fn open<R>(input: Input<R>, recording: &mut Recording) -> Result<Opened<R>, ReadError> {
    recording.ended = RecordingEnd::Stopped;
    match input {
        Input::Lines(input, length) => Ok(Opened::Lines(input, length)),
        Input::Parts(source) => {
            let mut head = [0; 24];
            let read = source.read_at(0, &mut head);
            let read = read.map_err(|error| ReadError::at(0, What::Io(error)))?;
            Ok(Opened::Parts(if is_packed(&head[..read]) {
                Box::new(packed::open(source, recording)?)
            } else {
                Box::new(binary::open(source, recording)?)
            }))
        }
    }
}

/// Whether a file that begins so is packed.
pub(super) fn is_packed(head: &[u8]) -> bool {
    head.len() == 24
        && head.starts_with(&MAGIC)
        && head[8..16] == BYTE_ORDER.to_le_bytes()
        && head[16..] == VERSION.to_le_bytes()
}

impl<R: BufRead> Opened<R> {
    /// Has one take in what is there of some objects, or of all, in its order.
    pub(super) fn fold(
        self,
        recording: &mut Recording,
        wanted: Option<&HashSet<ObjectId>>,
        fold: &mut impl Fold,
    ) -> Result<(), ReadError> {
        match self {
            Self::Lines(lines, length) => lines_into((lines, length), recording, wanted, fold),
            Self::Parts(parts) => fold_in_order(&*parts, recording, wanted, fold),
        }
    }

    /// Has several take it in, each some objects, on threads of their own.
    pub(super) fn fold_shares<F: Fold + Send>(
        self,
        recording: &mut Recording,
        make: impl Fn() -> F,
    ) -> Result<Vec<F>, ReadError> {
        match self {
            Self::Lines(lines, length) => {
                let mut fold = make();
                lines_into((lines, length), recording, None, &mut fold)?;
                Ok(vec![fold])
            }
            Self::Parts(parts) => fold_shares(&*parts, recording, None, make),
        }
    }
}

fn lines_into(
    (lines, length): (impl BufRead, u64),
    recording: &mut Recording,
    wanted: Option<&HashSet<ObjectId>>,
    fold: &mut impl Fold,
) -> Result<(), ReadError> {
    let is_wanted = |id: ObjectId| wanted.is_none_or(|wanted| wanted.contains(&id));
    json::read_lines((lines, length), recording, |tables, item| match item {
        Item::Object(object, earlier) if is_wanted(object.id) => {
            fold.object(tables, object, earlier);
        }
        Item::Event(event) if is_wanted(event.object()) => fold.event(tables, &event),
        Item::Label(object, seq, label) if is_wanted(object) => {
            fold.label(tables, object, seq, label);
        }
        _ => {}
    })
}
