//! One head of one text: scores of a block of queries with all keys, their softmax, and the values by it.

use std::ops::Range;

use super::shared::Shared;
use super::tile::{ROWS, product, rows};
use super::{Attention, Distances, Part, Rows};
use crate::kernels::exponential::{LOG2_E, exp2};
use crate::kernels::vectors::{Simd, Vector};

/// Queries whose scores are in memory at a time.
const BLOCK: usize = 4 * ROWS;
/// Numbers in a line of the processor's cache.
const LINE: usize = 16;

/// Its keys and values, packed, and space for a block of queries.
pub(super) struct Head<'a, S> {
    simd: S,
    size: usize,
    keys: usize,
    /// Panels of so many keys that a tile takes them all: `[panels, size, panel]`.
    packed_keys: &'a mut [f32],
    /// `[keys, width]`, `size` rounded up to whole vectors.
    packed_values: &'a mut [f32],
    width: usize,
    /// `[BLOCK, size]`, scaled.
    queries: &'a mut [f32],
    /// `[BLOCK, row]`.
    scores: &'a mut [f32],
    row: usize,
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
        let sizes = [padded * size, keys.len() * width, BLOCK * size, BLOCK * row];
        let [packed_keys, packed_values, queries, scores] = aligned(scratch, sizes);
        let mut head = Self { simd, size, keys: keys.len(), packed_keys, packed_values, width, queries, scores, row };
        head.pack_keys(attention.keys, keys.clone(), part.head * size);
        head.pack_values(attention.values, keys, part.head * size);
        head
    }

    #[inline(always)]
    fn pack_keys(&mut self, rows: Rows, keys: Range<usize>, column: usize) {
        for (panel, first) in
            self.packed_keys.chunks_exact_mut(self.size * Self::PANEL).zip(keys.clone().step_by(Self::PANEL))
        {
            for place in 0..Self::PANEL {
                let key = (first + place).min(keys.end - 1);
                let numbers = &rows.numbers[key * rows.stride + column..][..self.size];
                for (to, number) in panel.chunks_exact_mut(Self::PANEL).zip(numbers) {
                    to[place] = *number;
                }
            }
        }
    }

    #[inline(always)]
    fn pack_values(&mut self, rows: Rows, keys: Range<usize>, column: usize) {
        for (to, key) in self.packed_values.chunks_exact_mut(self.width).zip(keys) {
            to[..self.size].copy_from_slice(&rows.numbers[key * rows.stride + column..][..self.size]);
            to[self.size..].fill(0.0);
        }
    }

    /// Writes what the queries of `part` are answered.
    #[inline(always)]
    pub(super) fn answer(mut self, attention: &Attention, part: &Part, out: &Shared) {
        let column = part.head * self.size;
        let text = attention.asking[part.text];
        for first in part.queries.clone().step_by(BLOCK) {
            let block = first..part.queries.end.min(first + BLOCK);
            self.take_queries(attention.queries, block.clone(), column);
            self.score(block.len());
            let mut totals = [0.0; BLOCK];
            for (place, total) in totals[..block.len()].iter_mut().enumerate() {
                if let Some(distances) = attention.distances {
                    self.add_distances(distances, part.head, place, first + place - text);
                }
                *total = self.exponentials(place);
            }
            self.sum_values(&totals[..block.len()], first, column, attention.heads * self.size, out);
        }
    }

    #[inline(always)]
    fn take_queries(&mut self, rows: Rows, block: Range<usize>, column: usize) {
        #[expect(clippy::cast_precision_loss, reason = "heads are small")]
        let scale = LOG2_E / (self.size as f32).sqrt();
        for (to, query) in self.queries.chunks_exact_mut(self.size).zip(block) {
            for (to, number) in to.iter_mut().zip(&rows.numbers[query * rows.stride + column..]) {
                *to = number * scale;
            }
        }
    }

    /// Scores of the first `count` queries, times log2(e); beyond the last key -∞, up to a whole vector.
    #[inline(always)]
    fn score(&mut self, count: usize) {
        for panel in 0..self.packed_keys.len() / (self.size * Self::PANEL) {
            let full = count / ROWS * ROWS;
            for first in (0..full).step_by(ROWS) {
                if Self::WIDE {
                    self.score_tile::<ROWS, 4>(first, panel)
                } else {
                    self.score_tile::<ROWS, 2>(first, panel)
                }
            }
            for query in full..count {
                if Self::WIDE { self.score_tile::<1, 4>(query, panel) } else { self.score_tile::<1, 2>(query, panel) }
            }
        }
        for row in self.scores.chunks_exact_mut(self.row).take(count) {
            row[self.keys..self.keys.next_multiple_of(Self::LANES)].fill(f32::NEG_INFINITY);
        }
    }

    #[inline(always)]
    fn score_tile<const R: usize, const W: usize>(&mut self, first: usize, panel: usize) {
        let queries = rows::<R>(&self.queries[first * self.size..], self.size, self.size);
        let keys = &self.packed_keys[panel * self.size * Self::PANEL..];
        let sums = product::<S, R, W>(self.simd, queries, keys, Self::PANEL);
        for (place, sums) in sums.into_iter().enumerate() {
            let row = &mut self.scores[(first + place) * self.row + panel * Self::PANEL..][..Self::PANEL];
            for (vector, sum) in sums.into_iter().enumerate() {
                sum.store(&mut row[vector * Self::LANES..]);
            }
        }
    }

    #[inline(always)]
    fn add_distances(&mut self, distances: Distances, head: usize, place: usize, query: usize) {
        let nearest = head * (2 * distances.reach - 1) + distances.reach - 1 - query;
        let added = &distances.table[nearest..][..self.keys];
        for (score, added) in self.scores[place * self.row..].iter_mut().zip(added) {
            *score += added * LOG2_E;
        }
    }

    /// 2^(score - largest score) in the place of the scores of a query; gives their sum.
    #[inline(always)]
    fn exponentials(&mut self, place: usize) -> f32 {
        let scores = &mut self.scores[place * self.row..][..self.keys.next_multiple_of(Self::LANES)];
        let mut largest = self.simd.splat(f32::NEG_INFINITY);
        for vector in scores.chunks_exact(Self::LANES) {
            largest = self.simd.load(vector).at_least(largest);
        }
        let largest = self.simd.splat(largest.largest());
        let mut sum = self.simd.splat(0.0);
        for vector in scores.chunks_exact_mut(Self::LANES) {
            let power = exp2(self.simd, self.simd.load(vector) - largest);
            power.store(vector);
            sum = sum + power;
        }
        sum.sum()
    }

    /// Values weighed by the exponentials of queries from `first` on, divided by `totals`.
    #[inline(always)]
    fn sum_values(&self, totals: &[f32], first: usize, column: usize, stride: usize, out: &Shared) {
        let full = totals.len() / ROWS * ROWS;
        let to = |place: usize| (first + place) * stride + column;
        for place in (0..full).step_by(ROWS) {
            self.sum_rows::<ROWS>(&totals[place..], place, to(place), stride, out);
        }
        for place in full..totals.len() {
            self.sum_rows::<1>(&totals[place..], place, to(place), stride, out);
        }
    }

    #[inline(always)]
    fn sum_rows<const R: usize>(&self, totals: &[f32], place: usize, to: usize, stride: usize, out: &Shared) {
        let mut column = 0;
        while column < self.size {
            let vectors = (self.width - column) / Self::LANES;
            if Self::WIDE && vectors >= 4 {
                self.sum_tile::<R, 4>(totals, place, column, (to, stride), out);
                column += 4 * Self::LANES;
            } else if vectors >= 2 {
                self.sum_tile::<R, 2>(totals, place, column, (to, stride), out);
                column += 2 * Self::LANES;
            } else {
                self.sum_tile::<R, 1>(totals, place, column, (to, stride), out);
                column += Self::LANES;
            }
        }
    }

    #[inline(always)]
    fn sum_tile<const R: usize, const W: usize>(
        &self,
        totals: &[f32],
        place: usize,
        column: usize,
        (to, stride): (usize, usize),
        out: &Shared,
    ) {
        let powers = rows::<R>(&self.scores[place * self.row..], self.row, self.keys);
        let sums = product::<S, R, W>(self.simd, powers, &self.packed_values[column..], self.width);
        for (row, sums) in sums.into_iter().enumerate() {
            let total = self.simd.splat(totals[row]);
            let to = to + row * stride;
            #[expect(unsafe_code, reason = "columns of one head in rows that other heads write to")]
            // SAFETY: the queries of a head belong to one part, and a part to one thread.
            let numbers = unsafe { out.part(to + column..to + self.size.min(column + W * Self::LANES)) };
            for (numbers, sum) in numbers.chunks_mut(Self::LANES).zip(sums) {
                (sum / total).store_part(numbers);
            }
        }
    }
}

/// Slices of `sizes` in `scratch`, which grows where it must, each from the beginning of a line of the cache on.
#[inline(always)]
fn aligned<const N: usize>(scratch: &mut Vec<f32>, sizes: [usize; N]) -> [&mut [f32]; N] {
    let needed = sizes.iter().map(|size| size.next_multiple_of(LINE)).sum::<usize>() + LINE;
    if scratch.len() < needed {
        scratch.resize(needed, 0.0);
    }
    let offset = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let mut rest = &mut scratch[offset..];
    sizes.map(|size| {
        let (slice, behind) = std::mem::take(&mut rest).split_at_mut(size.next_multiple_of(LINE));
        rest = behind;
        &mut slice[..size]
    })
}
