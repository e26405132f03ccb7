//! A table in files: rows are gathered, and written as a row group when there are some.

use crate::Failed;
use crate::output::{WholeFile, WriteFailed};
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows that are gathered: some ten megabytes of the widest table.
const ROWS: usize = 1 << 16;
/// Row groups of a file. What a file's end says of each is kept until then.
const GROUPS: usize = 128;
/// Texts that are kept to be used again.
const TEXTS: usize = 1 << 14;

/// What a column holds.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Holds {
    Bool,
    Int,
    /// Numbers that are close to each other in neighbouring rows.
    Rising,
    /// Microseconds since 1970, in UTC.
    Moment,
    Text,
}

/// A column.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) holds: Holds,
    pub(super) optional: bool,
}

pub(super) const fn field(name: &'static str, holds: Holds) -> Field {
    Field { name, holds, optional: false }
}

/// A column that may be null.
pub(super) const fn maybe(name: &'static str, holds: Holds) -> Field {
    Field { name, holds, optional: true }
}

/// What stands in a row's column.
#[derive(Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Text(&'a str),
}

impl From<u64> for Cell<'_> {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Cell<'_> {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Cell<'_> {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(it: Option<T>) -> Self {
        it.map_or(Self::Null, Into::into)
    }
}

enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Text(Vec<ByteArray>),
}

struct Column {
    values: Values,
    /// 1 for a value, 0 for none.
    levels: Vec<i16>,
    optional: bool,
}

/// A table of one process.
pub(super) struct Table {
    folder: PathBuf,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    columns: Vec<Column>,
    rows: usize,
    texts: HashMap<Box<str>, ByteArray>,
    file: Option<SerializedFileWriter<WholeFile>>,
    groups: usize,
    part: usize,
}

impl Table {
    /// Begins a table in a folder of its own, with the file `part-N.parquet`.
    pub(super) fn new(
        folder: PathBuf,
        name: &str,
        fields: &[Field],
        part: usize,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&folder).map_err(|error| WriteFailed::at(&folder, error))?;
        let mut text = format!("message {name} {{\n");
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("refscope version ", env!("CARGO_PKG_VERSION")).to_owned());
        for Field { name, holds, optional } in fields {
            let repetition = if *optional { "optional" } else { "required" };
            let ty = match holds {
                Holds::Bool => format!("boolean {name}"),
                Holds::Int | Holds::Rising => format!("int64 {name}"),
                Holds::Moment => format!("int64 {name} (TIMESTAMP(MICROS,true))"),
                Holds::Text => format!("binary {name} (UTF8)"),
            };
            text.push_str(&format!("  {repetition} {ty};\n"));
            if matches!(holds, Holds::Rising | Holds::Moment) {
                let column = ColumnPath::from(*name);
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            }
        }
        text.push('}');
        let columns = fields.iter().map(Column::new).collect();
        Ok(Self {
            folder,
            schema: Arc::new(parse_message_type(&text).map_err(into_io)?),
            properties: Arc::new(properties.build()),
            columns,
            rows: 0,
            texts: HashMap::new(),
            file: None,
            groups: 0,
            part,
        })
    }

    /// Adds a row: a cell for each column.
    pub(super) fn row<const N: usize>(&mut self, cells: [Cell<'_>; N]) -> io::Result<()> {
        debug_assert_eq!(N, self.columns.len());
        if self.texts.len() > TEXTS {
            self.texts.clear();
        }
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell, &mut self.texts);
        }
        self.rows += 1;
        if self.rows == ROWS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        let place = self.folder.join(format!("part-{}.parquet", self.part));
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let file = WholeFile::create(&place)?;
                let file = SerializedFileWriter::new(
                    file,
                    Arc::clone(&self.schema),
                    Arc::clone(&self.properties),
                );
                empty.insert(file.map_err(into_io)?)
            }
        };
        let mut group = file.next_row_group().map_err(into_io)?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column().map_err(into_io)? else { break };
            column.write(&mut writer).map_err(into_io)?;
            writer.close().map_err(into_io)?;
        }
        group.close().map_err(into_io)?;
        self.rows = 0;
        self.groups += 1;
        if self.groups == GROUPS { self.end_file() } else { Ok(()) }
    }

    fn end_file(&mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let whole = file.into_inner().map_err(into_io)?;
        whole.finish()?;
        self.part += 1;
        self.groups = 0;
        Ok(())
    }

    /// Writes what is gathered, and returns the number of the next part. A table without a row has a file all the same, so
    /// that it can be asked.
    pub(super) fn finish(mut self) -> io::Result<usize> {
        if self.rows > 0 || self.part == 0 && self.file.is_none() {
            self.write()?;
        }
        self.end_file()?;
        Ok(self.part)
    }
}

/// An error of writing goes up as it is, with its place.
fn into_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        error => io::Error::other(error),
    }
}

/// Removes the parts of an earlier export that this one has not overwritten.
pub(super) fn remove_parts(folder: &Path, from: usize) -> Result<(), Failed> {
    for part in from.. {
        match std::fs::remove_file(folder.join(format!("part-{part}.parquet"))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(WriteFailed::at(folder, error).into()),
        }
    }
    Ok(())
}

impl Column {
    fn new(field: &Field) -> Self {
        let values = match field.holds {
            Holds::Bool => Values::Bool(Vec::new()),
            Holds::Int | Holds::Rising | Holds::Moment => Values::Int(Vec::new()),
            Holds::Text => Values::Text(Vec::new()),
        };
        Self { values, levels: Vec::new(), optional: field.optional }
    }

    fn push(&mut self, cell: Cell<'_>, texts: &mut HashMap<Box<str>, ByteArray>) {
        let is_there = match (&mut self.values, cell) {
            (Values::Bool(values), Cell::Bool(is)) => {
                values.push(is);
                true
            }
            (Values::Int(values), Cell::Int(number)) => {
                values.push(number);
                true
            }
            (Values::Text(values), Cell::Text(text)) => {
                let known = texts.get(text).cloned().unwrap_or_else(|| {
                    let bytes = ByteArray::from(text.as_bytes().to_vec());
                    texts.insert(text.into(), bytes.clone());
                    bytes
                });
                values.push(known);
                true
            }
            (_, Cell::Null) => false,
            _ => unreachable!("a cell of another type than its column's"),
        };
        debug_assert!(is_there || self.optional);
        if self.optional {
            self.levels.push(is_there.into());
        }
    }

    fn write(&mut self, to: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = self.optional.then_some(&self.levels[..]);
        match &mut self.values {
            Values::Bool(values) => {
                to.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Int(values) => {
                to.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Text(values) => {
                to.typed::<ByteArrayType>().write_batch(values, levels, None)?;
                values.clear();
            }
        }
        self.levels.clear();
        Ok(())
    }
}
