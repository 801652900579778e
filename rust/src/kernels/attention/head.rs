//! One head of one text: all its queries with all its keys.

use std::ops::Range;

use super::answers::Answers;
use super::block::{BLOCK, Block};
use super::pack::{Columns, pack_keys, pack_values};
use super::{Attention, Part};
use crate::kernels::exponential::LOG2_E;
use crate::kernels::shared::Shared;
use crate::kernels::vectors::Simd;

/// Its keys and values, packed, and space for a block of queries.
pub(super) struct Head<'a, S> {
    block: Block<'a, S>,
    keys: usize,
}

impl<'a, S: Simd> Head<'a, S> {
    /// With keys and values packed into `scratch`.
    #[inline(always)]
    pub(super) fn new(simd: S, attention: &Attention, part: &Part, scratch: &'a mut Vec<f32>) -> Self {
        let (size, keys) = (attention.size, attention.keys_of(part.text));
        let block = Block::new(simd, size, (keys.len(), keys.len()), scratch);
        let of = |rows| Columns { rows, column: part.head * size, size };
        let panel = (Block::<S>::PANEL, Block::<S>::LANES);
        pack_keys(of(attention.keys), keys.clone(), panel, block.packed_keys);
        pack_values(of(attention.values), keys.clone(), block.width, block.packed_values);
        Self { block, keys: keys.len() }
    }

    /// Writes what the queries of `part` are answered.
    #[inline(always)]
    pub(super) fn answer(mut self, attention: &Attention, part: &Part, out: &Shared) {
        let (size, keys, text) = (attention.size, self.keys, attention.asking[part.text]);
        let (column, stride) = (part.head * size, attention.heads * size);
        for first in part.queries.clone().step_by(BLOCK) {
            let queries = first..part.queries.end.min(first + BLOCK);
            let count = queries.len();
            self.take_queries(Columns { rows: attention.queries, column, size }, queries);
            self.block.score(count, &(0..keys));
            for (place, row) in self.block.rows(count, keys).enumerate() {
                if let Some(distances) = attention.distances {
                    distances.add_to(&mut row[..keys], part.head, first + place - text);
                }
                row[keys..].fill(f32::NEG_INFINITY);
            }
            let totals = self.block.exponentials(count, keys);
            self.block.sum_values(count, &(0..keys));
            let answers = Answers { sums: self.block.sums, width: self.block.width, totals: &totals[..count], size };
            answers.write(self.block.simd, |row| (first + row) * stride + column, out);
        }
    }

    #[inline(always)]
    fn take_queries(&mut self, columns: Columns, queries: Range<usize>) {
        #[expect(clippy::cast_precision_loss, reason = "heads are small")]
        let scale = LOG2_E / (columns.size as f32).sqrt();
        for (to, query) in self.block.queries.chunks_exact_mut(columns.size).zip(queries) {
            for (to, number) in to.iter_mut().zip(columns.row(query)) {
                *to = number * scale;
            }
        }
    }
}
