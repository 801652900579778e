//! Products of a few rows with a few vectors of columns, whose sums stay in registers.

use crate::kernels::vectors::{Simd, Vector};

/// Rows of a tile.
pub(super) const ROWS: usize = 6;

/// `sums` and Σ over k of `left[row][k]` · `right[k]`, of which `W` vectors from `column` on are taken; a row of `right` has `stride`
/// numbers. Every sum is added up in the order of k, whatever else is in the tile.
#[inline(always)]
pub(super) fn product<S: Simd, const R: usize, const W: usize>(
    simd: S,
    left: [&[f32]; R],
    (right, stride, column): (&[f32], usize, usize),
    mut sums: [[S::Vector; W]; R],
) -> [[S::Vector; W]; R] {
    let depth = left[0].len();
    assert!(left.iter().all(|row| row.len() == depth), "rows of one length");
    assert!(column + W * S::Vector::LANES <= stride, "columns of one row");
    // Two at a time, by hand: half the instructions beside the products.
    let mut pairs = right[..depth * stride].chunks_exact(2 * stride);
    for (pair, right) in pairs.by_ref().enumerate() {
        let (first, second) = right.split_at(stride);
        add(simd, left, 2 * pair, &first[column..], &mut sums);
        add(simd, left, 2 * pair + 1, &second[column..], &mut sums);
    }
    if depth % 2 == 1 {
        add(simd, left, depth - 1, &pairs.remainder()[column..], &mut sums);
    }
    sums
}

#[inline(always)]
fn add<S: Simd, const R: usize, const W: usize>(
    simd: S,
    left: [&[f32]; R],
    k: usize,
    right: &[f32],
    sums: &mut [[S::Vector; W]; R],
) {
    let mut columns = [simd.splat(0.0); W];
    for (place, column) in columns.iter_mut().enumerate() {
        *column = simd.load(&right[place * S::Vector::LANES..]);
    }
    for row in 0..R {
        let factor = simd.splat(left[row][k]);
        for place in 0..W {
            sums[row][place] = columns[place].mul_add(factor, sums[row][place]);
        }
    }
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
