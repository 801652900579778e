//! What goes into a run and what comes out of it.

use ::ort::AsPointer;
use ::ort::sys::OrtValue;
use ::ort::value::{DynValue, DynValueRef, Tensor};

use crate::batch::Inputs;
use crate::outputs::Array;
use crate::{Error, Result};

/// The inputs of a run, over the numbers of [`Inputs`].
pub enum Feed<'a> {
    /// A tensor for each.
    Tensors(Vec<FedTensor<'a>>),
    /// Few texts, for a captured run.
    Few(&'a Inputs),
}

/// One input.
pub enum FedTensor<'a> {
    /// Where the numbers lie.
    Borrowed(DynValueRef<'a>),
    /// int32.
    Owned(Tensor<i32>),
}

impl FedTensor<'_> {
    pub(super) fn ptr(&self) -> *const OrtValue {
        match self {
            Self::Borrowed(tensor) => tensor.ptr(),
            Self::Owned(tensor) => tensor.ptr(),
        }
    }
}

/// The outputs of a run.
pub enum Values {
    /// As tensors.
    Tensors(Vec<DynValue>),
    /// Of few texts: the shape and the numbers of each.
    Few(Vec<(Vec<i64>, Vec<f32>)>),
}

impl Values {
    /// As numbers, in the order of [`Outputs::iter`].
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for an output that does not hold float32 numbers.
    pub fn arrays(&self) -> Result<Vec<Array<'_>>> {
        match self {
            Self::Tensors(values) => values.iter().map(array).collect(),
            Self::Few(rows) => Ok(rows.iter().map(|(shape, values)| Array { shape, values }).collect()),
        }
    }
}

fn array(value: &DynValue) -> Result<Array<'_>> {
    let (shape, values) = value.try_extract_tensor::<f32>().map_err(|error| {
        Error::ModelFormat(format!("an output of the graph does not hold float32 numbers: {error}"))
    })?;
    Ok(Array { shape, values })
}
