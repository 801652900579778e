//! One head of one text with products in bfloat16. Their sums, and all between them, are in float32.

mod pack;
mod product;

use self::pack::{interleave_keys, interleave_values, narrow_queries};
use self::product::product;
use super::answers::Answers;
use super::pack::{Columns, LINE, aligned};
use super::{Attention, Part};
use crate::kernels::cpu::Bf16;
use crate::kernels::exponential::{LOG2_E, exp2};
use crate::kernels::shared::Shared;
use crate::kernels::vectors::avx512::{Avx512, F32x16};
use crate::kernels::vectors::avx512_bf16::Pairs;
use crate::kernels::vectors::{Simd, Vector};

/// Rows and columns of a product, and numbers along which it is taken at a time: what AMX is made for.
const SIDE: usize = 32;
const LANES: usize = F32x16::LANES;

/// Its keys and values, packed, and space for a block of queries.
pub(super) struct Head<'a> {
    kind: Bf16,
    size: usize,
    keys: usize,
    /// `size` and `keys`, filled up with zeros.
    depth: usize,
    padded: usize,
    /// Panels of 32 keys, `[depth / 2, 32, 2]` each.
    packed_keys: &'a [u16],
    /// Panels of 32 columns, `[padded / 2, 32, 2]` each.
    packed_values: &'a [u16],
    /// `[32, depth]`, scaled.
    queries: &'a mut [u16],
    /// `[32, row]`.
    scores: &'a mut [f32],
    /// `[32, row]`.
    powers: &'a mut [u16],
    row: usize,
    /// `[32, depth]`.
    sums: &'a mut [f32],
}

impl<'a> Head<'a> {
    /// With keys and values packed into `scratch`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
    pub(super) fn new(
        kind: Bf16,
        attention: &Attention,
        part: &Part,
        (wide, narrow): (&'a mut Vec<f32>, &'a mut Vec<u16>),
    ) -> Self {
        let (size, keys) = (attention.size, attention.keys_of(part.text));
        let (depth, padded) = (size.next_multiple_of(SIDE), keys.len().next_multiple_of(SIDE));
        // A line more than needed, so that rows do not fall on the same lines of the cache.
        let row = padded + 2 * LINE;
        let [scores, sums] = aligned(wide, [SIDE * row, SIDE * depth]);
        let [packed_keys, packed_values, queries, powers] =
            aligned(narrow, [padded * depth, padded * depth, SIDE * depth, SIDE * row]);
        let of = |rows| Columns { rows, column: part.head * size, size };
        interleave_keys(of(attention.keys), keys.clone(), depth, packed_keys);
        interleave_values(of(attention.values), keys.clone(), padded, packed_values);
        let keys = keys.len();
        Self { kind, size, keys, depth, padded, packed_keys, packed_values, queries, scores, powers, row, sums }
    }

    /// Writes what the queries of `part` are answered.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
    pub(super) fn answer(mut self, attention: &Attention, part: &Part, out: &Shared) {
        let column = part.head * self.size;
        let text = attention.asking[part.text];
        #[expect(clippy::cast_precision_loss, reason = "heads are small")]
        let scale = LOG2_E / (self.size as f32).sqrt();
        for first in part.queries.clone().step_by(SIDE) {
            let block = first..part.queries.end.min(first + SIDE);
            let queries = Columns { rows: attention.queries, column, size: self.size };
            narrow_queries(queries, block.clone(), scale, self.depth, self.queries);
            self.score(attention, part.head, first - text, block.len());
            let totals = self.exponentials(block.len());
            self.sum_values(block.len());
            let stride = attention.heads * self.size;
            let answers =
                Answers { sums: self.sums, width: self.depth, totals: &totals[..block.len()], size: self.size };
            answers.write(Avx512::new(), |row| (first + row) * stride + column, out);
        }
    }

    /// Scores of `count` queries from `query` of the text on, times log2(e); beyond the last key -∞.
    fn score(&mut self, attention: &Attention, head: usize, query: usize, count: usize) {
        let panels = self.packed_keys.chunks_exact(SIDE * self.depth);
        for (number, panel) in panels.enumerate() {
            let to = &mut self.scores[number * SIDE..];
            product(self.kind, (self.queries, self.depth, count), (panel, self.depth), (to, self.row));
        }
        for (place, row) in self.scores.chunks_exact_mut(self.row).take(count).enumerate() {
            if let Some(distances) = attention.distances {
                distances.add_to(&mut row[..self.keys], head, query + place);
            }
            row[self.keys..self.padded].fill(f32::NEG_INFINITY);
        }
    }

    /// 2^(score - largest score) for the scores of `count` queries; gives the sum of each.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
    fn exponentials(&mut self, count: usize) -> [f32; SIDE] {
        let simd = Avx512::new();
        let mut numbers = [0.0; SIDE];
        // All of these first: the processor goes on with the next query while the lanes of one are compared.
        for (row, most) in self.scores.chunks_exact(self.row).zip(&mut numbers[..count]) {
            let mut largest = [simd.splat(f32::NEG_INFINITY); 2];
            for scores in row[..self.padded].chunks_exact(SIDE) {
                largest[0] = simd.load(scores).at_least(largest[0]);
                largest[1] = simd.load(&scores[LANES..]).at_least(largest[1]);
            }
            *most = largest[1].at_least(largest[0]).largest();
        }
        let rows = self.scores.chunks_exact(self.row).zip(self.powers.chunks_exact_mut(self.row));
        for ((row, powers), number) in rows.zip(&mut numbers[..count]) {
            let (largest, mut sum) = (simd.splat(*number), simd.splat(0.0));
            for (scores, powers) in row[..self.padded].chunks_exact(SIDE).zip(powers.chunks_exact_mut(SIDE)) {
                let low = exp2(simd, simd.load(scores) - largest);
                let high = exp2(simd, simd.load(&scores[LANES..]) - largest);
                sum = sum + (low + high);
                Pairs::of(low, high).store(powers);
            }
            *number = sum.sum();
        }
        numbers
    }

    /// Values weighed by the exponentials of `count` queries.
    fn sum_values(&mut self, count: usize) {
        for (number, panel) in self.packed_values.chunks_exact(SIDE * self.padded).enumerate() {
            let to = &mut self.sums[number * SIDE..];
            product(self.kind, (self.powers, self.row, count), (panel, self.padded), (to, self.depth));
        }
    }
}

/// Parts of an attention.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
pub(super) fn answer_parts(
    kind: Bf16,
    attention: &Attention,
    parts: &[Part],
    out: &Shared,
    (wide, narrow): (&mut Vec<f32>, &mut Vec<u16>),
) {
    product::with(kind, || {
        for part in parts {
            Head::new(kind, attention, part, (wide, narrow)).answer(attention, part, out);
        }
    });
}
