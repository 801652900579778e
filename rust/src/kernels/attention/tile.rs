//! Products of a few rows with a few vectors of columns, whose sums stay in registers.

use crate::kernels::vectors::{Simd, Vector};

/// Rows of a tile.
pub(super) const ROWS: usize = 6;

/// Σ over k of `left[row][k]` · `right[k]`, of which `W` vectors are taken, each row of `right` `stride` numbers behind the one
/// before. Every sum is added up in the order of k, whatever else is in the tile.
#[inline(always)]
pub(super) fn product<S: Simd, const R: usize, const W: usize>(
    simd: S,
    left: [&[f32]; R],
    right: &[f32],
    stride: usize,
) -> [[S::Vector; W]; R] {
    let lanes = S::Vector::LANES;
    let depth = left[0].len();
    let mut sums = [[simd.splat(0.0); W]; R];
    assert!(left.iter().all(|row| row.len() == depth), "rows of one length");
    for k in 0..depth {
        let right = &right[k * stride..][..W * lanes];
        let mut columns = [simd.splat(0.0); W];
        for (place, column) in columns.iter_mut().enumerate() {
            *column = simd.load(&right[place * lanes..]);
        }
        for row in 0..R {
            let factor = simd.splat(left[row][k]);
            for place in 0..W {
                sums[row][place] = columns[place].mul_add(factor, sums[row][place]);
            }
        }
    }
    sums
}

/// `R` rows of `length` numbers, `stride` apart.
#[inline(always)]
pub(super) fn rows<const R: usize>(numbers: &[f32], stride: usize, length: usize) -> [&[f32]; R] {
    let mut rows = [&numbers[..0]; R];
    for (place, row) in rows.iter_mut().enumerate() {
        *row = &numbers[place * stride..][..length];
    }
    rows
}
