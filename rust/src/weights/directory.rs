//! What lies where in weight files, of whatever types, for those who copy tensors instead of computing with them.

use super::stored::Stored;
use super::{WeightFile, Weights, read, todays_name};
use crate::error::Result;

/// The tensors of each file, by the names that today's models give them.
///
/// # Errors
/// Those of [`Weights::open`].
pub(crate) fn directories(files: &[WeightFile]) -> Result<Vec<Vec<Stored>>> {
    // All of them at once, which sees that no tensor is there twice.
    let weights = Weights::open(files)?;
    let tensors = |(file, mapped): (&WeightFile, &super::MappedFile)| {
        let mut stored = read(&file.name, mapped.bytes())?;
        stored.sort_by_key(|tensor| tensor.offset);
        for tensor in &mut stored {
            tensor.name = todays_name(&tensor.name);
        }
        Ok(stored)
    };
    files.iter().zip(&weights.files).map(tensors).collect()
}
