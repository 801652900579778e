//! Numbers of one head in bfloat16, two along the products side by side.

use std::ops::Range;

use super::super::pack::Columns;
use super::{LANES, SIDE};
use crate::kernels::vectors::Simd;
use crate::kernels::vectors::avx512::Avx512;
use crate::kernels::vectors::avx512_bf16::{Pairs, transpose};

/// Writes `queries`, times `scale`, in rows of `depth` numbers with zeros behind.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
pub(super) fn narrow_queries(columns: Columns, queries: Range<usize>, scale: f32, depth: usize, out: &mut [u16]) {
    for (out, query) in out.chunks_exact_mut(depth).zip(queries) {
        for (part, out) in out.chunks_exact_mut(SIDE).enumerate() {
            pairs(columns.row(query), part * SIDE, scale).store(out);
        }
    }
}

/// Writes `keys` in panels of 32, `[depth / 2, 32, 2]`, with zeros behind.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
pub(super) fn interleave_keys(columns: Columns, keys: Range<usize>, depth: usize, out: &mut [u16]) {
    for (out, first) in out.chunks_exact_mut(SIDE * depth).zip(keys.clone().step_by(SIDE)) {
        for half in 0..2 {
            let mut rows: [&[f32]; LANES] = [&[]; LANES];
            for (row, key) in rows.iter_mut().zip(first + half * LANES..keys.end) {
                *row = columns.row(key);
            }
            for (part, out) in out.chunks_exact_mut(SIDE * SIDE).enumerate() {
                let mut square = [pairs(&[], 0, 1.0); LANES];
                for (square, row) in square.iter_mut().zip(rows) {
                    *square = pairs(row, part * SIDE, 1.0);
                }
                transpose(&mut square);
                for (pairs, out) in square.into_iter().zip(out.chunks_exact_mut(2 * SIDE)) {
                    pairs.store(&mut out[half * SIDE..]);
                }
            }
        }
    }
}

/// Writes `values` in panels of 32 columns, `[padded / 2, 32, 2]`, with zeros behind.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
pub(super) fn interleave_values(columns: Columns, values: Range<usize>, padded: usize, out: &mut [u16]) {
    let simd = Avx512::new();
    for (number, out) in out.chunks_exact_mut(SIDE * padded).enumerate() {
        let row = |value| if value < values.end { &columns.row(value)[number * SIDE..] } else { &[] };
        for (pair, out) in out.chunks_exact_mut(2 * SIDE).enumerate() {
            let (one, two) = (row(values.start + 2 * pair), row(values.start + 2 * pair + 1));
            for (at, out) in [0, LANES].into_iter().zip(out.chunks_exact_mut(SIDE)) {
                let one = simd.load_part(one.get(at..).unwrap_or_default());
                let two = simd.load_part(two.get(at..).unwrap_or_default());
                Pairs::beside(one, two).store(out);
            }
        }
    }
}

/// 32 of `numbers` from `at` on, with zeros behind the last one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,f16c")]
fn pairs(numbers: &[f32], at: usize, scale: f32) -> Pairs {
    let simd = Avx512::new();
    let low = simd.load_part(numbers.get(at..).unwrap_or_default());
    let high = simd.load_part(numbers.get(at + LANES..).unwrap_or_default());
    Pairs::of(low * simd.splat(scale), high * simd.splat(scale))
}
