//! Matrices → panels: the format that the wanted arithmetic and the numbers allow, written by several threads.

use half::{bf16, f16};

use super::Arithmetic;
use super::float32;
use crate::kernels::{COLUMNS, Format};
use crate::weights::{Dtype, Tensor, Weights};

/// Matrices of the same width, one below the other.
pub(super) struct Stack<'a> {
    weights: &'a Weights,
    tensors: Vec<Tensor>,
    /// Rows of all.
    pub n: usize,
    /// Numbers of a row.
    pub k: usize,
}

impl<'a> Stack<'a> {
    pub fn new(weights: &'a Weights, tensors: Vec<Tensor>) -> Self {
        let n = tensors.iter().map(|tensor| tensor.shape[0]).sum();
        let k = tensors.first().map_or(0, |tensor| tensor.shape[1]);
        Self { weights, tensors, n, k }
    }

    /// Whether it is stored in 16 bits: a model that is meant to need little memory.
    pub fn is_narrow(&self) -> bool {
        self.tensors.iter().any(|tensor| tensor.dtype.bytes() == 2)
    }

    /// How it is packed for products in `arithmetic`: in 16 bits where that loses nothing.
    pub fn format(&self, arithmetic: Arithmetic) -> Format {
        match arithmetic {
            Arithmetic::Bf16 => Format::Bf16Pairs,
            Arithmetic::Int8 => Format::Int8,
            Arithmetic::Float32 if self.all(Dtype::F16, fits_f16) => Format::F16,
            Arithmetic::Float32 if self.all(Dtype::Bf16, fits_bf16) => Format::Bf16,
            Arithmetic::Float32 => Format::F32,
        }
    }

    /// Whether all numbers are of a type, or lose nothing by becoming of it.
    fn all(&self, dtype: Dtype, fits: fn(f32) -> bool) -> bool {
        self.tensors.iter().all(|tensor| match tensor.dtype {
            stored if stored == dtype => true,
            Dtype::F16 | Dtype::Bf16 | Dtype::F64 => false,
            Dtype::F32 => {
                let (numbers, _) = self.weights.bytes(tensor).as_chunks();
                // In blocks, so that the answer comes early where it is no.
                numbers
                    .chunks(4096)
                    .all(|block| block.iter().fold(true, |all, &bytes| all & fits(f32::from_le_bytes(bytes))))
            }
        })
    }

    /// Writes the panel of this number into zeros.
    pub fn pack(&self, format: Format, number: usize, panel: &mut [u8]) {
        let first = number * COLUMNS;
        let rows: Vec<f32> = (first..self.n.min(first + COLUMNS)).flat_map(|row| self.row(row)).collect();
        format.pack(&rows, self.k, panel);
    }

    fn row(&self, row: usize) -> Vec<f32> {
        let mut row = row;
        for tensor in &self.tensors {
            if row < tensor.shape[0] {
                return float32::row(self.weights.bytes(tensor), tensor, row);
            }
            row -= tensor.shape[0];
        }
        Vec::new()
    }
}

/// Whether a number is one of float16: 10 bits behind the point, and an exponent that it has.
#[inline]
fn fits_f16(number: f32) -> bool {
    let bits = number.to_bits();
    let (short, exponent) = (bits & 0x1fff == 0, bits >> 23 & 0xff);
    (short && (113..=142).contains(&exponent)) || bits << 1 == 0 || is_small_f16(number, exponent)
}

/// Numbers below the smallest power of two of float16 have fewer bits.
fn is_small_f16(number: f32, exponent: u32) -> bool {
    (103..113).contains(&exponent) && f16::from_f32(number).to_f32().to_bits() == number.to_bits()
}

#[inline]
fn fits_bf16(number: f32) -> bool {
    number.to_bits() & 0xffff == 0 && !bf16::from_f32(number).is_nan()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_hold_exactly_their_own_numbers() {
        for bits in 0..=u16::MAX {
            let number = f16::from_bits(bits);
            assert_eq!(fits_f16(number.to_f32()), number.is_finite(), "{bits}");
            let number = bf16::from_bits(bits);
            assert_eq!(fits_bf16(number.to_f32()), !number.is_nan(), "{bits}");
        }
        for number in [0.1, 65_536.0, 1e-9, 1.0 + f32::EPSILON, 2f32.powi(-24) * 1.5] {
            assert!(!fits_f16(number) && f16::from_f32(number).to_f32().to_bits() != number.to_bits(), "{number}");
        }
        assert!(!fits_bf16(0.1));
    }
}
