//! Numbers that a run put out, and what can be wrong with them.

use crate::Error;
use crate::batch::Inputs;

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

/// Texts, by their places in the batch, of which some number is not finite: in a state of their own or in those of their tokens.
pub(crate) fn not_finite_texts(inputs: &Inputs, arrays: &[Array]) -> Vec<usize> {
    let finite = |text: usize, array: &Array| {
        let of_tokens = array.shape.len() > 2;
        let (first, count) = if of_tokens { (inputs.first(text), inputs.lengths[text]) } else { (text, 1) };
        let all = if of_tokens { inputs.shape[0] * inputs.shape[1] } else { inputs.rows };
        let width = array.values.len() / all.max(1);
        array.values[first * width..(first + count) * width].iter().all(|number| number.is_finite())
    };
    (0..inputs.rows).filter(|&text| !arrays.iter().all(|array| finite(text, array))).collect()
}

/// Rows of a batch.
pub type Outcome<T> = Result<T, RowError>;
