//! Rows of a stored matrix as columns: what a product takes beside each other lies in different rows there.

use std::array::from_fn;
use std::ops::Range;

use half::{bf16, f16};

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
}

/// Writes a step as float32, `[places, 64]`. Columns without a row may have any numbers.
pub(super) fn widen(vectors: Vectors, step: Step, out: &mut [f32]) {
    run(vectors, Widen(step, out));
}

struct Widen<'a>(Step<'a>, &'a mut [f32]);

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

/// Writes a step as bfloat16, two along K side by side: `[places / 2, 64, 2]`, with zeros behind the last number of a row.
pub(super) fn pair(step: &Step, out: &mut [u16]) {
    let (number, size) = (step.panel.number, step.panel.number.bytes());
    for row in 0..step.rows() {
        let mut numbers = step.row(row).chunks_exact(size).map(|bytes| narrow(bytes, number));
        for pair in out.chunks_exact_mut(2 * COLUMNS) {
            for bits in &mut pair[2 * row..2 * row + 2] {
                *bits = numbers.next().unwrap_or_default();
            }
        }
    }
}

fn narrow(bytes: &[u8], number: Number) -> u16 {
    match (number, bytes) {
        (Number::Bf16, &[low, high]) => u16::from_le_bytes([low, high]),
        (Number::F16, &[low, high]) => bf16::from_f32(f16::from_le_bytes([low, high]).to_f32()).to_bits(),
        (_, &[a, b, c, d]) => bf16::from_f32(f32::from_le_bytes([a, b, c, d])).to_bits(),
        _ => unreachable!("bytes of one number"),
    }
}
