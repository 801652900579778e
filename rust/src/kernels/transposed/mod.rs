//! Rows of a stored matrix as columns: what a product takes beside each other lies in different rows there.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::array::from_fn;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use half::bf16;

use super::cpu::Vectors;
use super::matrix::StoredRows;
use super::panels::COLUMNS;

/// Rows and numbers of each that are transposed at a time, where there are no instructions for it.
const SIDE: usize = 4;

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
    let whole = widen_whole(vectors, step, out);
    step.rest(whole, |row, place, number| out[place * COLUMNS + row] = number);
}

#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the processor has what it is compiled for"))]
fn widen_whole(vectors: Vectors, step: &Step, out: &mut [f32]) -> (usize, usize) {
    match vectors {
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512 => unsafe { avx512::widen(step, out) },
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2 => unsafe { avx2::widen(step, out) },
        _ => widen_squares(step, out),
    }
}

/// Of all whole squares, which begin with the first row and number: how many rows and numbers they have.
fn widen_squares(step: &Step, out: &mut [f32]) -> (usize, usize) {
    let (whole, number) = (step.whole(SIDE, SIDE), step.panel.number);
    for first in (0..whole.0).step_by(SIDE) {
        for place in (0..whole.1).step_by(SIDE) {
            let mut square = [[0.0; SIDE]; SIDE];
            for (next, numbers) in square.iter_mut().enumerate() {
                let bytes = &step.row(first + next)[place * number.bytes()..];
                for (wide, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(number.bytes())) {
                    *wide = number.read(bytes);
                }
            }
            for (column, out) in out[place * COLUMNS + first..].chunks_mut(COLUMNS).take(SIDE).enumerate() {
                let numbers: [f32; SIDE] = from_fn(|row| square[row][column]);
                out[..SIDE].copy_from_slice(&numbers);
            }
        }
    }
    whole
}

/// Writes a step as bfloat16, two along K side by side: `[places / 2, 64, 2]`, with zeros behind the last number of a row. Columns without
/// a row may have any numbers. The processor has products in bfloat16.
#[cfg(target_arch = "x86_64")]
pub(super) fn pair(step: &Step, out: &mut [u16]) {
    #[expect(unsafe_code, reason = "what multiplies bfloat16 has AVX512-BF16")]
    let whole = unsafe { avx512::pair(step, out) };
    step.rest(whole, |row, place, number| {
        out[(place / 2 * COLUMNS + row) * 2 + place % 2] = bf16::from_f32(number).to_bits();
    });
}
