//! A reranker's scores.

use super::{Array, Outcome, RowError};
use crate::Error;
use crate::batch::Inputs;

/// One score a pair.
pub(crate) fn logits(inputs: &Inputs, array: Array) -> Outcome<Vec<f32>> {
    if array.values.len() != inputs.rows {
        let message = format!(
            "logits has the shape {:?} for {} pairs; a reranker gives one score a pair",
            array.shape, inputs.rows
        );
        return Err(Error::ModelFormat(message).into());
    }
    match array.values.iter().position(|logit| !logit.is_finite()) {
        Some(row) => Err(RowError::NotFinite { row }),
        None => Ok(array.values.to_vec()),
    }
}
