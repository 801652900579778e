//! One head of one text: scores of a block of queries with all keys, their softmax, and the values by it.

use std::ops::Range;

use super::answers::Answers;
use super::pack::{Columns, LINE, aligned, pack_keys, pack_values};
use super::tile::{ROWS, product, rows};
use super::{Attention, Part};
use crate::kernels::exponential::{LOG2_E, exp2};
use crate::kernels::shared::Shared;
use crate::kernels::vectors::{Simd, Vector};

/// Queries whose scores are in memory at a time.
const BLOCK: usize = 4 * ROWS;
/// Keys whose values stay in the cache while all queries of a block take them.
const NEAR: usize = 256;

/// Its keys and values, packed, and space for a block of queries.
pub(super) struct Head<'a, S> {
    simd: S,
    size: usize,
    keys: usize,
    /// Panels of so many keys that a tile takes them all: `[panels, size, panel]`.
    packed_keys: &'a [f32],
    /// `[keys, width]`, `size` rounded up to whole vectors.
    packed_values: &'a [f32],
    width: usize,
    /// `[BLOCK, size]`, scaled.
    queries: &'a mut [f32],
    /// `[BLOCK, row]`.
    scores: &'a mut [f32],
    row: usize,
    /// `[BLOCK, width]`.
    sums: &'a mut [f32],
}

impl<'a, S: Simd> Head<'a, S> {
    const LANES: usize = S::Vector::LANES;
    const WIDE: bool = S::Vector::REGISTERS >= 32;
    const PANEL: usize = if Self::WIDE { 4 } else { 2 } * Self::LANES;

    /// With keys and values packed into `scratch`.
    #[inline(always)]
    pub(super) fn new(simd: S, attention: &Attention, part: &Part, scratch: &'a mut Vec<f32>) -> Self {
        let (size, keys) = (attention.size, attention.keys_of(part.text));
        let padded = keys.len().next_multiple_of(Self::PANEL);
        let width = size.next_multiple_of(Self::LANES);
        // A row more than needed, so that rows do not fall on the same lines of the cache.
        let row = padded.next_multiple_of(LINE) + LINE;
        let sizes = [padded * size, keys.len() * width, BLOCK * size, BLOCK * row, BLOCK * width];
        let [packed_keys, packed_values, queries, scores, sums] = aligned(scratch, sizes);
        let of = |rows| Columns { rows, column: part.head * size, size };
        pack_keys(of(attention.keys), keys.clone(), (Self::PANEL, Self::LANES), packed_keys);
        pack_values(of(attention.values), keys.clone(), width, packed_values);
        Self { simd, size, keys: keys.len(), packed_keys, packed_values, width, queries, scores, row, sums }
    }

    /// Writes what the queries of `part` are answered.
    #[inline(always)]
    pub(super) fn answer(mut self, attention: &Attention, part: &Part, out: &Shared) {
        let column = part.head * self.size;
        let text = attention.asking[part.text];
        for first in part.queries.clone().step_by(BLOCK) {
            let block = first..part.queries.end.min(first + BLOCK);
            self.take_queries(Columns { rows: attention.queries, column, size: self.size }, block.clone());
            self.score(block.len());
            if let Some(distances) = attention.distances {
                for place in 0..block.len() {
                    let scores = &mut self.scores[place * self.row..][..self.keys];
                    distances.add_to(scores, part.head, first + place - text);
                }
            }
            let totals = self.exponentials(block.len());
            let stride = attention.heads * self.size;
            self.sum_values(block.len());
            let answers =
                Answers { sums: self.sums, width: self.width, totals: &totals[..block.len()], size: self.size };
            answers.write(self.simd, first * stride + column, stride, out);
        }
    }

    #[inline(always)]
    fn take_queries(&mut self, columns: Columns, block: Range<usize>) {
        #[expect(clippy::cast_precision_loss, reason = "heads are small")]
        let scale = LOG2_E / (self.size as f32).sqrt();
        for (to, query) in self.queries.chunks_exact_mut(self.size).zip(block) {
            for (to, number) in to.iter_mut().zip(columns.row(query)) {
                *to = number * scale;
            }
        }
    }

    /// Scores of the first `count` queries, times log2(e); beyond the last key -∞, up to a whole vector.
    #[inline(always)]
    fn score(&mut self, count: usize) {
        for first in (0..self.keys).step_by(Self::PANEL) {
            match (self.keys - first).div_ceil(Self::LANES) {
                1 => self.score_panel::<1>(first, count),
                2 => self.score_panel::<2>(first, count),
                _ if Self::WIDE => self.score_panel::<4>(first, count),
                _ => self.score_panel::<2>(first, count),
            }
        }
        for row in self.scores.chunks_exact_mut(self.row).take(count) {
            row[self.keys..self.keys.next_multiple_of(Self::LANES)].fill(f32::NEG_INFINITY);
        }
    }

    /// Scores with `W` vectors of keys from `key` on, where a panel begins.
    #[inline(always)]
    fn score_panel<const W: usize>(&mut self, key: usize, count: usize) {
        let full = count / ROWS * ROWS;
        for first in (0..full).step_by(ROWS) {
            self.score_tile::<ROWS, W>(first, key);
        }
        for query in full..count {
            self.score_tile::<1, W>(query, key);
        }
    }

    #[inline(always)]
    fn score_tile<const R: usize, const W: usize>(&mut self, first: usize, key: usize) {
        let queries = rows::<R>(&self.queries[first * self.size..], self.size, self.size);
        let keys = &self.packed_keys[key * self.size..];
        let sums = product(self.simd, queries, (keys, Self::PANEL, 0), [[self.simd.splat(0.0); W]; R]);
        for (place, sums) in sums.into_iter().enumerate() {
            let row = &mut self.scores[(first + place) * self.row + key..][..W * Self::LANES];
            for (vector, sum) in sums.into_iter().enumerate() {
                sum.store(&mut row[vector * Self::LANES..]);
            }
        }
    }

    /// 2^(score - largest score) in the place of the scores of the first `count` queries; gives the sum of each.
    #[inline(always)]
    fn exponentials(&mut self, count: usize) -> [f32; BLOCK] {
        let (simd, length) = (self.simd, self.keys.next_multiple_of(Self::LANES));
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

    /// Values weighed by the exponentials of the first `count` queries, in the order of the keys.
    #[inline(always)]
    fn sum_values(&mut self, count: usize) {
        self.sums[..count * self.width].fill(0.0);
        for first in (0..self.keys).step_by(NEAR) {
            let keys = first..self.keys.min(first + NEAR);
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
        keys: &Range<usize>,
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
    fn sum_tile<const R: usize, const W: usize>(&mut self, place: usize, keys: &Range<usize>, column: usize) {
        let powers = rows::<R>(&self.scores[place * self.row + keys.start..], self.row, keys.len());
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
