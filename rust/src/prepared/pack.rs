//! Matrices → panels: the format that the wanted arithmetic and the numbers allow, written by several threads.

use half::f16;

use super::Arithmetic;
use super::float32;
use crate::kernels::{COLUMNS, Cpu, Format};
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
            Arithmetic::Float32 if self.all(Dtype::F16, fit_f16) => Format::F16,
            Arithmetic::Float32 if self.all(Dtype::Bf16, fit_bf16) => Format::Bf16,
            Arithmetic::Float32 => Format::F32,
        }
    }

    /// Whether all numbers are of a type, or lose nothing by becoming of it.
    fn all(&self, dtype: Dtype, fit: fn(&[[u8; 4]]) -> bool) -> bool {
        self.tensors.iter().all(|tensor| match tensor.dtype {
            stored if stored == dtype => true,
            Dtype::F16 | Dtype::Bf16 | Dtype::F64 => false,
            // In blocks, so that the answer comes early where it is no.
            Dtype::F32 => self.weights.bytes(tensor).as_chunks().0.chunks(4096).all(fit),
        })
    }

    /// Writes the panel of this number into zeros.
    pub fn pack(&self, format: Format, number: usize, panel: &mut [u8]) {
        let first = number * COLUMNS;
        let mut rows = vec![0.0; (self.n - first).min(COLUMNS) * self.k];
        for (row, numbers) in rows.chunks_exact_mut(self.k).enumerate() {
            self.read(first + row, numbers);
        }
        format.pack(Cpu::chosen(), &rows, self.k, panel);
    }

    fn read(&self, mut row: usize, numbers: &mut [f32]) {
        for tensor in &self.tensors {
            if row < tensor.shape[0] {
                return float32::read_row(self.weights.bytes(tensor), tensor, row, numbers);
            }
            row -= tensor.shape[0];
        }
    }
}

/// Whether numbers are those of float16: 10 bits behind the point, and an exponent that it has.
fn fit_f16(numbers: &[[u8; 4]]) -> bool {
    // As integers, without a branch, which compilers make vectors of. Numbers below the smallest power of two have fewer bits.
    let unusual = |bits: u32| {
        let (long, exponent) = (bits & 0x1fff, (bits >> 23 & 0xff).wrapping_sub(113));
        long | (u32::from(exponent >= 30) & u32::from(bits << 1 != 0))
    };
    numbers.iter().fold(0, |any, &bytes| any | unusual(u32::from_le_bytes(bytes))) == 0
        || numbers.iter().all(|&bytes| {
            let number = f32::from_le_bytes(bytes);
            number.is_finite() && f16::from_f32(number).to_f32().to_bits() == number.to_bits()
        })
}

/// Whether numbers are those of bfloat16: the upper half of a float32.
fn fit_bf16(numbers: &[[u8; 4]]) -> bool {
    numbers.iter().fold(0, |any, &[low, second, ..]| any | low | second) == 0
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn sixteen_bits_hold_exactly_their_own_numbers() {
        for bits in 0..=u16::MAX {
            let number = f16::from_bits(bits).to_f32();
            assert_eq!(fit_f16(&[number.to_le_bytes()]), number.is_finite(), "{bits}");
            assert!(fit_bf16(&[bf16::from_bits(bits).to_f32().to_le_bytes()]), "{bits}");
        }
        for number in [0.1, 65_536.0, 1e-9, 1.0 + f32::EPSILON, 2f32.powi(-24) * 1.5] {
            assert!(f16::from_f32(number).to_f32().to_bits() != number.to_bits(), "{number}");
            assert!(!fit_f16(&[1_f32.to_le_bytes(), number.to_le_bytes()]), "{number}");
        }
        assert!(!fit_bf16(&[0.1_f32.to_le_bytes()]));
    }
}
