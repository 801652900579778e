//! The best scores of a search.

use std::sync::{Mutex, PoisonError};

use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::detached;
use crate::{Error, search};

/// The best scores of each query, of blocks that come one after the other.
#[pyclass(frozen, module = "bge_fast._core")]
pub(super) struct Best(Mutex<search::Best>);

#[pymethods]
impl Best {
    /// The `k` best of `excluded.len()` queries, each with the places that are no hits of it.
    #[new]
    fn new(k: usize, excluded: Vec<Vec<u32>>) -> Self {
        Self(Mutex::new(search::Best::new(k, excluded)))
    }

    /// Takes scores `(queries, places)`, the first of them those of `first_query` and of `first_place`.
    fn offer(
        &self,
        py: Python<'_>,
        scores: PyReadonlyArray2<'_, f32>,
        first_query: usize,
        first_place: usize,
    ) -> PyResult<()> {
        let [rows, width] = [scores.shape()[0], scores.shape()[1]];
        let numbers = scores.as_slice()?;
        detached(py, || {
            let mut best = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if first_query + rows > best.queries() {
                return Err(Error::Value(format!("scores of {rows} queries from {first_query} on are too many")));
            }
            best.offer(numbers, width, first_query, first_place)
        })
    }

    /// Scores and places so far, `(queries, most hits of one)`, best first; behind the last hit negative infinity and -1.
    #[expect(clippy::type_complexity, reason = "a tuple for Python")]
    fn result<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<i64>>)> {
        let (queries, (scores, places, width)) = detached(py, || {
            let mut best = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((best.queries(), best.result()))
        })?;
        let shape = [queries, width];
        Ok((scores.into_pyarray(py).reshape(shape)?, places.into_pyarray(py).reshape(shape)?))
    }
}
