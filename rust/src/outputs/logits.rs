//! A reranker's scores.

use super::{Array, Outcome, RowError};
use crate::Error;
use crate::batch::Inputs;

/// So many scores of each pair.
pub(crate) fn scores<'a>(inputs: &Inputs, array: Array<'a>, each: usize) -> Outcome<Vec<&'a [f32]>> {
    if array.values.len() != inputs.rows * each {
        let message =
            format!("logits has the shape {:?} for {} pairs; {each} a pair were asked for", array.shape, inputs.rows);
        return Err(Error::ModelFormat(message).into());
    }
    match array.values.iter().position(|score| !score.is_finite()) {
        Some(place) => Err(RowError::NotFinite { row: place / each }),
        None => Ok(array.values.chunks_exact(each).collect()),
    }
}
