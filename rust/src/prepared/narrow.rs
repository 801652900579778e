//! float32 → 16 bits, to the nearest; a number that the type does not have is an error.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::weights::Dtype;
use crate::{Error, Result};

/// A type of 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrow {
    /// 5 bits for the size, 10 behind the point.
    Float16,
    /// 8 bits for the size, as float32 has, and 7 behind the point.
    Bf16,
}

impl Narrow {
    /// As tensors of it are stored.
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::Float16 => Dtype::F16,
            Self::Bf16 => Dtype::Bf16,
        }
    }

    /// Writes numbers in little-endian order; false where one of them is beyond the largest.
    pub(super) fn write(self, numbers: &[f32], narrow: &mut [u8]) -> bool {
        let narrow = narrow.as_chunks_mut().0;
        let finite: Vec<bool> = match self {
            Self::Float16 => {
                let mut halves = vec![f16::ZERO; numbers.len()];
                halves.convert_from_f32_slice(numbers);
                narrow.iter_mut().zip(&halves).for_each(|(bytes, half)| *bytes = half.to_le_bytes());
                halves.iter().map(|half| half.is_finite()).collect()
            }
            Self::Bf16 => {
                let mut halves = vec![bf16::ZERO; numbers.len()];
                halves.convert_from_f32_slice(numbers);
                narrow.iter_mut().zip(&halves).for_each(|(bytes, half)| *bytes = half.to_le_bytes());
                halves.iter().map(|half| half.is_finite()).collect()
            }
        };
        finite.iter().zip(numbers).all(|(&finite, number)| finite || !number.is_finite())
    }

    /// The bytes of numbers.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for a number beyond the type, with the name of the tensor.
    pub(crate) fn bytes(self, name: &str, numbers: &[f32]) -> Result<Vec<u8>> {
        let mut bytes = vec![0; 2 * numbers.len()];
        if self.write(numbers, &mut bytes) { Ok(bytes) } else { Err(self.overflow(name)) }
    }

    pub(super) fn overflow(self, name: &str) -> Error {
        let largest = match self {
            Self::Float16 => "65504, the largest of float16",
            Self::Bf16 => "3.39e38, the largest of bfloat16",
        };
        Error::ModelFormat(format!(
            "the tensor {name} holds a number beyond {largest}. Open the model with precision=\"fp32\""
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_the_nearest_and_too_large_ones_are_named() {
        let bytes = Narrow::Float16.bytes("one", &[1.0, -2.5, 1.0e-9, 65504.0]).expect("fits");
        let halves = bytes.as_chunks().0.iter().map(|&pair| f16::from_le_bytes(pair).to_f32());
        assert_eq!(halves.collect::<Vec<_>>(), [1.0, -2.5, 0.0, 65504.0]);
        let error = Narrow::Float16.bytes("layer.weight", &[0.0, 7.0e4]).expect_err("does not fit");
        assert!(error.to_string().contains("layer.weight"));
    }

    #[test]
    fn bfloat16_has_the_range_of_float32() {
        let bytes = Narrow::Bf16.bytes("one", &[1.0, 7.0e4, 1.003_906_3, f32::INFINITY]).expect("fits");
        let halves = bytes.as_chunks().0.iter().map(|&pair| bf16::from_le_bytes(pair).to_f32());
        assert_eq!(halves.collect::<Vec<_>>(), [1.0, 70144.0, 1.0, f32::INFINITY]);
        assert!(Narrow::Bf16.bytes("layer.weight", &[f32::MAX]).is_err());
    }
}
