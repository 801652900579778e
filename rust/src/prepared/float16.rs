//! float32 → float16, to the nearest; a number that float16 does not have is an error.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::{Error, Result};

/// Writes numbers as little-endian float16; false where one of them is beyond the largest.
pub(super) fn write(numbers: &[f32], narrow: &mut [u8]) -> bool {
    let mut halves = vec![f16::ZERO; numbers.len()];
    halves.convert_from_f32_slice(numbers);
    for (bytes, half) in narrow.as_chunks_mut().0.iter_mut().zip(&halves) {
        *bytes = half.to_le_bytes();
    }
    halves.iter().zip(numbers).all(|(half, number)| half.is_finite() || !number.is_finite())
}

/// The bytes of numbers as float16.
///
/// # Errors
/// [`Error::ModelFormat`] for a number beyond float16, with the name of the tensor.
pub(crate) fn narrow(name: &str, numbers: &[f32]) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 2 * numbers.len()];
    if write(numbers, &mut bytes) { Ok(bytes) } else { Err(overflow(name)) }
}

pub(super) fn overflow(name: &str) -> Error {
    Error::ModelFormat(format!(
        "the tensor {name} holds a number beyond 65504, the largest of float16. Open the model with precision=\"fp32\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_the_nearest_and_too_large_ones_are_named() {
        let bytes = narrow("one", &[1.0, -2.5, 1.0e-9, 65504.0]).expect("fits");
        let halves = bytes.as_chunks().0.iter().map(|&pair| f16::from_le_bytes(pair).to_f32());
        assert_eq!(halves.collect::<Vec<_>>(), [1.0, -2.5, 0.0, 65504.0]);
        let error = narrow("layer.weight", &[0.0, 7.0e4]).expect_err("does not fit");
        assert!(error.to_string().contains("layer.weight"));
    }
}
