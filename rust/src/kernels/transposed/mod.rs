//! Rows of a stored matrix as columns: what a product takes beside each other lies in different rows there.

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::array::from_fn;
use std::ops::Range;

use half::bf16;

use super::cpu::Vectors;
use super::matrix::{Number, StoredRows};
use super::panels::COLUMNS;
use super::vectors::{Kernel, Simd, Vector, run};

/// Rows that are transposed at a time.
const ROWS: usize = 4;
/// Numbers of each.
const NUMBERS: usize = 16;

/// Some numbers of each row of a panel.
#[derive(Clone)]
pub(super) struct Step<'a> {
    /// Up to 64 rows.
    pub panel: StoredRows<'a>,
    /// Numbers of a row.
    pub k: usize,
    /// Those of each row that are wanted. There may be fewer.
    pub places: Range<usize>,
}

impl<'a> Step<'a> {
    fn row_bytes(&self) -> usize {
        self.k * self.panel.number.bytes()
    }

    fn rows(&self) -> usize {
        self.panel.bytes.len() / self.row_bytes()
    }

    /// The wanted bytes of a row.
    #[inline(always)]
    fn row(&self, row: usize) -> &'a [u8] {
        let (first, size) = (row * self.row_bytes(), self.panel.number.bytes());
        &self.panel.bytes[first + self.places.start * size..first + self.places.end.min(self.k) * size]
    }

    /// How many rows and numbers of each are in whole blocks.
    fn whole(&self, rows: usize, places: usize) -> (usize, usize) {
        let there = self.places.end.min(self.k) - self.places.start;
        (self.rows() / rows * rows, there / places * places)
    }

    /// Calls `each` with row, place and number of what is not in the `whole` blocks: 0 behind a row's last number.
    fn rest(&self, whole: (usize, usize), mut each: impl FnMut(usize, usize, f32)) {
        let size = self.panel.number.bytes();
        for row in 0..self.rows() {
            let bytes = self.row(row);
            for place in if row < whole.0 { whole.1 } else { 0 }..self.places.len() {
                let number = bytes.get(place * size..(place + 1) * size);
                each(row, place, number.map_or(0.0, |bytes| self.panel.number.read(bytes)));
            }
        }
    }
}

/// Writes a step as float32, `[places, 64]`. Columns without a row may have any numbers.
pub(super) fn widen(vectors: Vectors, step: &Step, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if vectors == Vectors::Avx512 {
        #[expect(unsafe_code, reason = "the processor has AVX-512")]
        let whole = unsafe { avx512::widen(step, out) };
        return step.rest(whole, |row, place, number| out[place * COLUMNS + row] = number);
    }
    run(vectors, Widen(step, out));
}

/// Writes a step as bfloat16, two along K side by side: `[places / 2, 64, 2]`, with zeros behind the last number of a row. Columns without
/// a row may have any numbers. The processor has products in bfloat16.
pub(super) fn pair(step: &Step, out: &mut [u16]) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "what multiplies bfloat16 has AVX512-BF16")]
    let whole = unsafe { avx512::pair(step, out) };
    #[cfg(not(target_arch = "x86_64"))]
    let whole = (0, 0);
    step.rest(whole, |row, place, number| {
        out[(place / 2 * COLUMNS + row) * 2 + place % 2] = bf16::from_f32(number).to_bits();
    });
}

struct Widen<'a>(&'a Step<'a>, &'a mut [f32]);

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self(step, out) = self;
        let (number, rows, size) = (step.panel.number, step.rows(), step.panel.number.bytes());
        for first in (0..rows).step_by(ROWS) {
            let four: [&[u8]; ROWS] = from_fn(|next| step.row((first + next).min(rows - 1)));
            for (part, out) in out.chunks_mut(NUMBERS * COLUMNS).enumerate() {
                let wide: [[f32; NUMBERS]; ROWS] = from_fn(|row| {
                    let rest = four[row].get(part * NUMBERS * size..).unwrap_or_default();
                    wide(simd, &rest[..rest.len().min(NUMBERS * size)], number)
                });
                for (place, out) in out.chunks_exact_mut(COLUMNS).enumerate() {
                    out[first..first + ROWS].copy_from_slice(&from_fn::<f32, ROWS, _>(|row| wide[row][place]));
                }
            }
        }
    }
}

/// Up to 16 stored numbers, and zeros behind them.
#[inline(always)]
fn wide<S: Simd>(simd: S, bytes: &[u8], number: Number) -> [f32; NUMBERS] {
    let mut wide = [0.0; NUMBERS];
    if number == Number::F32 {
        for (wide, bytes) in wide.iter_mut().zip(bytes.as_chunks().0) {
            *wide = f32::from_le_bytes(*bytes);
        }
        return wide;
    }
    let mut bits = [0; NUMBERS];
    for (bits, bytes) in bits.iter_mut().zip(bytes.as_chunks().0) {
        *bits = u16::from_le_bytes(*bytes);
    }
    for (wide, bits) in wide.chunks_exact_mut(S::Vector::LANES).zip(bits.chunks_exact(S::Vector::LANES)) {
        let numbers = if number == Number::F16 { simd.load_f16(bits) } else { simd.load_bf16(bits) };
        numbers.store(wide);
    }
    wide
}
