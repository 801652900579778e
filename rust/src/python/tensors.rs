//! What lies where in weight files, for Python that copies tensors.

use std::path::PathBuf;

use pyo3::prelude::*;

use super::checkpoint::last_name;
use super::detached;
use crate::weights::{WeightFile, directories};

/// A tensor of a file: name, type as the file calls it, shape, strides in elements where it does not lie row by row, and its
/// first byte and number of bytes in the file.
type Listed = (String, String, Vec<usize>, Option<Vec<usize>>, u64, u64);

/// The tensors of each file, in the order in which they lie there.
#[pyfunction]
pub(super) fn list_tensors(py: Python<'_>, files: Vec<PathBuf>) -> PyResult<Vec<Vec<Listed>>> {
    detached(py, || {
        let files = files.into_iter().map(|path| WeightFile { name: last_name(&path), path, prefix: "" });
        let listed = directories(&files.collect::<Vec<_>>())?.into_iter().map(|file| {
            let tensors = file.into_iter();
            tensors.map(|one| (one.name, one.kind, one.shape, one.strides, one.offset, one.length)).collect()
        });
        Ok(listed.collect())
    })
}
