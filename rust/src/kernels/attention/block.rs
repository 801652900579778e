//! A block of queries: its scores with packed keys, their softmax, and the values by it.

use std::ops::Range;

use super::pack::{LINE, aligned};
use super::tile::{ROWS, product, rows};
use crate::kernels::exponential::exp2;
use crate::kernels::vectors::{Simd, Vector};

/// Queries whose scores are in memory at a time.
pub(super) const BLOCK: usize = 4 * ROWS;
/// Keys whose values stay in the cache while all queries of a block take them.
const NEAR: usize = 256;

/// Keys and values of a head, packed, and space for a block of queries.
pub(super) struct Block<'a, S> {
    pub(super) simd: S,
    pub(super) size: usize,
    /// Panels of so many keys that a tile takes them all: `[panels, size, panel]`.
    pub(super) packed_keys: &'a mut [f32],
    /// `[keys, width]`, `size` rounded up to whole vectors.
    pub(super) packed_values: &'a mut [f32],
    pub(super) width: usize,
    /// `[BLOCK, size]`, scaled.
    pub(super) queries: &'a mut [f32],
    /// `[BLOCK, row]`.
    pub(super) scores: &'a mut [f32],
    pub(super) row: usize,
    /// `[BLOCK, width]`.
    pub(super) sums: &'a mut [f32],
}

impl<'a, S: Simd> Block<'a, S> {
    pub(super) const LANES: usize = S::Vector::LANES;
    const WIDE: bool = S::Vector::REGISTERS >= 32;
    pub(super) const PANEL: usize = if Self::WIDE { 4 } else { 2 } * Self::LANES;

    /// Room for `keys` keys, of which a block of queries sees `seen` at most.
    #[inline(always)]
    pub(super) fn new(simd: S, size: usize, (keys, seen): (usize, usize), scratch: &'a mut Vec<f32>) -> Self {
        let width = size.next_multiple_of(Self::LANES);
        // A row more than needed, so that rows do not fall on the same lines of the cache.
        let row = seen.next_multiple_of(Self::PANEL).next_multiple_of(LINE) + LINE;
        let keys_size = keys.next_multiple_of(Self::PANEL) * size;
        let sizes = [keys_size, keys * width, BLOCK * size, BLOCK * row, BLOCK * width];
        let [packed_keys, packed_values, queries, scores, sums] = aligned(scratch, sizes);
        Self { simd, size, packed_keys, packed_values, width, queries, scores, row, sums }
    }

    /// Scores of the first `count` queries with `keys`, which begin where a panel does.
    #[inline(always)]
    pub(super) fn score(&mut self, count: usize, keys: &Range<usize>) {
        for first in keys.clone().step_by(Self::PANEL) {
            let place = (first, first - keys.start);
            match (keys.end - first).div_ceil(Self::LANES) {
                1 => self.score_panel::<1>(place, count),
                2 => self.score_panel::<2>(place, count),
                _ if Self::WIDE => self.score_panel::<4>(place, count),
                _ => self.score_panel::<2>(place, count),
            }
        }
    }

    /// The scores of the first `count` queries with so many keys, and up to a whole vector.
    #[inline(always)]
    pub(super) fn rows(&mut self, count: usize, keys: usize) -> impl Iterator<Item = &mut [f32]> {
        let length = keys.next_multiple_of(Self::LANES);
        self.scores.chunks_exact_mut(self.row).take(count).map(move |row| &mut row[..length])
    }

    /// Scores with `W` vectors of keys from where a panel begins, and from where in a row of scores.
    #[inline(always)]
    fn score_panel<const W: usize>(&mut self, place: (usize, usize), count: usize) {
        let full = count / ROWS * ROWS;
        for first in (0..full).step_by(ROWS) {
            self.score_tile::<ROWS, W>(first, place);
        }
        for query in full..count {
            self.score_tile::<1, W>(query, place);
        }
    }

    #[inline(always)]
    fn score_tile<const R: usize, const W: usize>(&mut self, first: usize, (key, at): (usize, usize)) {
        let queries = rows::<R>(&self.queries[first * self.size..], self.size, self.size);
        let keys = &self.packed_keys[key * self.size..];
        let sums = product(self.simd, queries, (keys, Self::PANEL, 0), [[self.simd.splat(0.0); W]; R]);
        for (place, sums) in sums.into_iter().enumerate() {
            let row = &mut self.scores[(first + place) * self.row + at..][..W * Self::LANES];
            for (vector, sum) in sums.into_iter().enumerate() {
                sum.store(&mut row[vector * Self::LANES..]);
            }
        }
    }

    /// 2^(score - largest score) in the place of the scores of the first `count` queries with so many keys, and up to a whole vector; gives
    /// the sum of each.
    #[inline(always)]
    pub(super) fn exponentials(&mut self, count: usize, keys: usize) -> [f32; BLOCK] {
        let (simd, length) = (self.simd, keys.next_multiple_of(Self::LANES));
        let mut numbers = [0.0; BLOCK];
        // All of these first: the processor goes on with the next query while the lanes of one are compared.
        for (row, most) in self.scores.chunks_exact(self.row).zip(&mut numbers[..count]) {
            let mut largest = simd.splat(f32::NEG_INFINITY);
            for scores in row[..length].chunks_exact(Self::LANES) {
                largest = simd.load(scores).at_least(largest);
            }
            *most = largest.largest();
        }
        for (row, number) in self.scores.chunks_exact_mut(self.row).zip(&mut numbers[..count]) {
            let (largest, mut sum) = (simd.splat(*number), simd.splat(0.0));
            for scores in row[..length].chunks_exact_mut(Self::LANES) {
                let power = exp2(simd, simd.load(scores) - largest);
                power.store(scores);
                sum = sum + power;
            }
            *number = sum.sum();
        }
        numbers
    }

    /// Values of `keys` weighed by the exponentials of the first `count` queries, in the order of the keys.
    #[inline(always)]
    pub(super) fn sum_values(&mut self, count: usize, keys: &Range<usize>) {
        self.sums[..count * self.width].fill(0.0);
        for first in keys.clone().step_by(NEAR) {
            let keys = (first..keys.end.min(first + NEAR), first - keys.start);
            let mut column = 0;
            while column < self.width {
                let vectors = (self.width - column) / Self::LANES;
                column += Self::LANES
                    * match vectors {
                        1 => self.sum_columns::<ROWS, 1>(count, &keys, column),
                        4.. if Self::WIDE => self.sum_columns::<ROWS, 4>(count, &keys, column),
                        _ if Self::WIDE => self.sum_columns::<{ 2 * ROWS }, 2>(count, &keys, column),
                        _ => self.sum_columns::<ROWS, 2>(count, &keys, column),
                    };
            }
        }
    }

    /// Of `W` vectors of columns, which it returns.
    #[inline(always)]
    fn sum_columns<const R: usize, const W: usize>(
        &mut self,
        count: usize,
        keys: &(Range<usize>, usize),
        column: usize,
    ) -> usize {
        let full = count / R * R;
        let most = full + (count - full) / ROWS * ROWS;
        for place in (0..full).step_by(R) {
            self.sum_tile::<R, W>(place, keys, column);
        }
        for place in (full..most).step_by(ROWS) {
            self.sum_tile::<ROWS, W>(place, keys, column);
        }
        for place in most..count {
            self.sum_tile::<1, W>(place, keys, column);
        }
        W
    }

    #[inline(always)]
    fn sum_tile<const R: usize, const W: usize>(
        &mut self,
        place: usize,
        (keys, at): &(Range<usize>, usize),
        column: usize,
    ) {
        let powers = rows::<R>(&self.scores[place * self.row + at..], self.row, keys.len());
        let values = &self.packed_values[keys.start * self.width..];
        let mut sums = [[self.simd.splat(0.0); W]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            let from = &self.sums[(place + row) * self.width + column..][..W * Self::LANES];
            for (vector, sum) in sums.iter_mut().enumerate() {
                *sum = self.simd.load(&from[vector * Self::LANES..]);
            }
        }
        let sums = product(self.simd, powers, (values, self.width, column), sums);
        for (row, sums) in sums.into_iter().enumerate() {
            let to = &mut self.sums[(place + row) * self.width + column..][..W * Self::LANES];
            for (vector, sum) in sums.into_iter().enumerate() {
                sum.store(&mut to[vector * Self::LANES..]);
            }
        }
    }
}
