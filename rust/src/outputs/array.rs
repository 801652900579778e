//! Numbers that a run put out, and what can be wrong with them.

use crate::Error;

/// An output of a run.
#[derive(Debug, Clone, Copy)]
pub struct Array<'a> {
    /// Its dimensions.
    pub shape: &'a [i64],
    /// All numbers, row after row.
    pub values: &'a [f32],
}

/// Why a batch gave no rows.
#[derive(Debug)]
pub enum RowError {
    /// A number of this text, by its place in the batch, is not finite.
    NotFinite {
        /// That place.
        row: usize,
    },
    /// Anything else, of no text alone.
    Other(Error),
}

impl From<Error> for RowError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Rows of a batch.
pub type Outcome<T> = Result<T, RowError>;
