//! Matrices → panels: the format that the wanted arithmetic and the numbers allow, written by several threads.

use std::ops::Range;

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

    /// How it may be packed for products in `arithmetic`, best first: in 16 bits where that loses nothing. The last always can.
    pub fn formats(&self, arithmetic: Arithmetic) -> &'static [Format] {
        let all = |dtype| self.tensors.iter().all(|tensor| tensor.dtype == dtype);
        match arithmetic {
            Arithmetic::Bf16 => &[Format::Bf16Pairs],
            Arithmetic::Int8 => &[Format::Int8],
            Arithmetic::Int4 => &[Format::Int4],
            Arithmetic::Float32 | Arithmetic::Float16 if all(Dtype::Bf16) => &[Format::Bf16],
            Arithmetic::Float32 | Arithmetic::Float16 => &[Format::F16, Format::Bf16, Format::F32],
        }
    }

    /// Writes the panel of this number into zeros; false where the format does not hold its numbers exactly and has to.
    pub fn pack(&self, format: Format, number: usize, panel: &mut [u8]) -> bool {
        let first = number * COLUMNS;
        let count = (self.n - first).min(COLUMNS);
        if format.is_quantized() {
            let read = |row, places, numbers: &mut [f32]| self.read(first + row, places, numbers);
            format.quantize(Cpu::chosen(), [count, self.k], &read, panel);
            return true;
        }
        let mut rows = vec![0.0; count * self.k];
        for (row, numbers) in rows.chunks_exact_mut(self.k).enumerate() {
            self.read(first + row, 0..self.k, numbers);
            if !fit(format, numbers) {
                return false;
            }
        }
        format.pack(Cpu::chosen(), &rows, self.k, panel);
        true
    }

    fn read(&self, mut row: usize, places: Range<usize>, numbers: &mut [f32]) {
        for tensor in &self.tensors {
            if row < tensor.shape[0] {
                return float32::read_row(self.weights.bytes(tensor), tensor, row, places, numbers);
            }
            row -= tensor.shape[0];
        }
    }
}

/// Whether a format holds numbers exactly that has to.
fn fit(format: Format, numbers: &[f32]) -> bool {
    match format {
        Format::F16 => fit_f16(numbers),
        Format::Bf16 => numbers.iter().fold(0, |any, number| any | number.to_bits() & 0xffff) == 0,
        Format::F32 | Format::Bf16Pairs | Format::Int8 | Format::Int4 => true,
    }
}

/// Whether numbers are those of float16: 10 bits behind the point, and an exponent that it has.
fn fit_f16(numbers: &[f32]) -> bool {
    // As integers, without a branch, which compilers make vectors of. Numbers below the smallest power of two have fewer bits.
    let unusual = |bits: u32| {
        let (long, exponent) = (bits & 0x1fff, (bits >> 23 & 0xff).wrapping_sub(113));
        long | (u32::from(exponent >= 30) & u32::from(bits << 1 != 0))
    };
    let same = |&number: &f32| number.is_finite() && f16::from_f32(number).to_f32().to_bits() == number.to_bits();
    numbers.iter().fold(0, |any, number| any | unusual(number.to_bits())) == 0 || numbers.iter().all(same)
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn sixteen_bits_hold_exactly_their_own_numbers() {
        let fits = |format, number: f32| fit(format, &[1.0, number]);
        for bits in 0..=u16::MAX {
            let number = f16::from_bits(bits).to_f32();
            assert_eq!(fits(Format::F16, number), number.is_finite(), "{bits}");
            assert!(fits(Format::Bf16, bf16::from_bits(bits).to_f32()), "{bits}");
        }
        for number in [0.1, 65_536.0, 1e-9, 1.0 + f32::EPSILON, 2f32.powi(-24) * 1.5] {
            assert!(f16::from_f32(number).to_f32().to_bits() != number.to_bits(), "{number}");
            assert!(!fits(Format::F16, number), "{number}");
        }
        assert!(!fits(Format::Bf16, 0.1));
    }
}
