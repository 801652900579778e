//! The queries of a part with the keys that they see.

use std::array::from_fn;
use std::ops::Range;

use super::super::answers::Answers;
use super::super::block::{BLOCK, Block};
use super::super::pack::{Columns, SQUARE, transpose};
use super::{CausalAttention, Part, Rows};
use crate::kernels::exponential::{LOG2_E, tanh};
use crate::kernels::rms_norm::{RmsNorm, norm_row};
use crate::kernels::rotary::Rotary;
use crate::kernels::shared::Shared;
use crate::kernels::vectors::{Simd, Vector};

/// Keys and values of a part, packed from a panel's beginning on, and space for a block of queries. A query's numbers do not depend on
/// what shares its block: vectors of keys begin at the same positions for all, and what it does not see weighs nothing.
pub(super) struct Head<'a, S> {
    attention: &'a CausalAttention<'a>,
    rotary: &'a Rotary,
    part: &'a Part,
    block: Block<'a, S>,
    /// Positions of the keys.
    keys: Range<usize>,
}

impl<'a, S: Simd> Head<'a, S> {
    #[inline(always)]
    pub(super) fn new(
        simd: S,
        attention: &'a CausalAttention,
        rotary: &'a Rotary,
        part: &'a Part,
        scratch: &'a mut Vec<f32>,
    ) -> Self {
        let keys = part.keys.start / Block::<S>::PANEL * Block::<S>::PANEL..part.keys.end;
        // So many a block of queries sees, and a panel more, since that is where it begins.
        let most = attention.window.map_or(keys.len(), |window| keys.len().min(window + BLOCK + Block::<S>::PANEL));
        let block = Block::new(simd, attention.size, (keys.len(), most), scratch);
        let mut head = Self { attention, rotary, part, block, keys };
        head.pack_keys();
        head.pack_values();
        head
    }

    fn columns(&self, rows: Rows<'a>) -> Columns<'a> {
        let size = self.attention.size;
        Columns { rows, column: self.part.key_head * size, size }
    }

    #[inline(always)]
    fn pack_keys(&mut self) {
        let (size, norm) = (self.attention.size, self.attention.key_norm);
        let (panel, keys) = (Block::<S>::PANEL, self.columns(self.attention.keys));
        for first in self.keys.clone().step_by(SQUARE) {
            for (next, room) in self.block.queries.chunks_exact_mut(size).take(SQUARE).enumerate() {
                let position = (first + next).min(self.keys.end - 1);
                let key = keys.row(self.attention.row(self.part.start, position));
                turn(self.block.simd, self.rotary, (key, norm), (position, 1.0), (room, self.block.sums));
            }
            let place = first - self.keys.start;
            let out = &mut self.block.packed_keys[place / panel * panel * size..][..panel * size];
            transpose(from_fn(|next| &self.block.queries[next * size..][..size]), &mut out[place % panel..], panel);
        }
    }

    #[inline(always)]
    fn pack_values(&mut self) {
        let (width, values) = (self.block.width, self.columns(self.attention.values));
        for (out, position) in self.block.packed_values.chunks_exact_mut(width).zip(self.keys.clone()) {
            out[..values.size].copy_from_slice(values.row(self.attention.row(self.part.start, position)));
            out[values.size..].fill(0.0);
        }
    }

    /// Writes what the queries are answered: those of the heads of one token beside each other.
    #[inline(always)]
    pub(super) fn answer(mut self, out: &Shared) {
        let CausalAttention { heads, size, .. } = *self.attention;
        let (part, sharing) = (self.part, self.attention.sharing());
        let rows = part.queries.len() * sharing;
        for first in (0..rows).step_by(BLOCK) {
            let count = BLOCK.min(rows - first);
            let of = |row: usize| ((first + row) / sharing, part.key_head * sharing + (first + row) % sharing);
            let seen = |row: usize| self.attention.seen(part.position + of(row).0);
            let start = seen(0).start / Block::<S>::PANEL * Block::<S>::PANEL;
            let keys = start - self.keys.start..seen(count - 1).end - self.keys.start;
            self.take_queries(count, of);
            self.block.score(count, &keys);
            self.cap(count, keys.len());
            for (row, scores) in self.block.rows(count, keys.len()).enumerate() {
                let seen = self.attention.seen(part.position + of(row).0);
                scores[..seen.start - start].fill(f32::NEG_INFINITY);
                scores[seen.end - start..].fill(f32::NEG_INFINITY);
            }
            let totals = self.block.exponentials(count, keys.len());
            self.block.sum_values(count, &keys);
            let answers = Answers { sums: self.block.sums, width: self.block.width, totals: &totals[..count], size };
            let place = |row| ((part.queries.start + of(row).0) * heads + of(row).1) * size;
            answers.write(self.block.simd, place, out);
        }
    }

    /// Takes the first `count` queries of a block: which one, and of which head.
    #[inline(always)]
    fn take_queries(&mut self, count: usize, of: impl Fn(usize) -> (usize, usize)) {
        let CausalAttention { size, queries: rows, query_norm, scale, cap, .. } = *self.attention;
        let factor = cap.map_or(scale * LOG2_E, |cap| scale / cap);
        for (row, room) in self.block.queries.chunks_exact_mut(size).take(count).enumerate() {
            let (query, head) = of(row);
            let query_row = Columns { rows, column: head * size, size }.row(self.part.queries.start + query);
            let place = (self.part.position + query, factor);
            turn(self.block.simd, self.rotary, (query_row, query_norm), place, (room, self.block.sums));
        }
    }

    #[inline(always)]
    fn cap(&mut self, count: usize, keys: usize) {
        let Some(cap) = self.attention.cap else { return };
        let (simd, cap) = (self.block.simd, self.block.simd.splat(cap * LOG2_E));
        for row in self.block.rows(count, keys) {
            for scores in row.chunks_exact_mut(S::Vector::LANES) {
                (tanh(simd, simd.load(scores)) * cap).store(scores);
            }
        }
    }
}

/// Normalizes a head's numbers, where they are to be, turns them by their position, and multiplies them by a factor.
#[inline(always)]
fn turn<S: Simd>(
    simd: S,
    rotary: &Rotary,
    (numbers, norm): (&[f32], Option<RmsNorm>),
    (position, factor): (usize, f32),
    (out, room): (&mut [f32], &mut [f32]),
) {
    let Some(norm) = norm else { return rotary.turn(simd, numbers, position, factor, out) };
    let normed = &mut room[..numbers.len()];
    norm_row(simd, numbers, norm, normed);
    rotary.turn(simd, normed, position, factor, out);
}
