//! BGE-M3's vectors as Python gets them.

use numpy::{IntoPyArray, PyArray1, PyArrayMethods};
use pyo3::prelude::*;

use super::model::Matrix;
use super::texts::others_turn;
use crate::outputs::{Lexical, MultiVectors, Texts};

pub(super) type SparseRows<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>);

/// [`MultiVectors`] as Python gets them.
#[derive(IntoPyObject)]
pub(super) enum TokenVectors<'py> {
    Separate(Vec<Matrix<'py>>),
    Joined((Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>)),
}

pub(super) fn sparse_rows<'py>(py: Python<'py>, texts: &[Lexical]) -> SparseRows<'py> {
    let ends = texts.iter().scan(0, |end, text| {
        *end += text.ids.len();
        Some(*end)
    });
    let ids: Vec<u32> = texts.iter().flat_map(|text| text.ids.iter().copied()).collect();
    let weights: Vec<f32> = texts.iter().flat_map(|text| text.weights.iter().copied()).collect();
    (offsets(py, std::iter::once(0).chain(ends)), ids.into_pyarray(py), weights.into_pyarray(py))
}

fn offsets(py: Python<'_>, ends: impl Iterator<Item = usize>) -> Bound<'_, PyArray1<i64>> {
    ends.map(|end| i64::try_from(end).unwrap_or(i64::MAX)).collect::<Vec<_>>().into_pyarray(py)
}

/// Arrays that take over the numbers.
pub(super) fn token_vectors(py: Python<'_>, vectors: MultiVectors) -> PyResult<TokenVectors<'_>> {
    let dimension = vectors.dimension.max(1);
    Ok(match vectors.texts {
        Texts::Separate(texts) => {
            let matrices = texts.into_iter().enumerate().map(|(place, numbers)| {
                others_turn(py, place);
                let rows = numbers.len() / dimension;
                numbers.into_pyarray(py).reshape([rows, dimension])
            });
            TokenVectors::Separate(matrices.collect::<PyResult<_>>()?)
        }
        Texts::Joined { offsets: ends, values } => {
            TokenVectors::Joined((offsets(py, ends.into_iter()), values.into_pyarray(py)))
        }
    })
}
