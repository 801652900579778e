//! AVX-512: 16 numbers of float32, 32 of bfloat16, 64 of 8 bits an instruction.
#![expect(
    unsafe_code,
    reason = "callers see to it that pointers lead to enough numbers and the processor has the instructions"
)]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_cvtepi32_ps, _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

use super::super::panels::COLUMNS;
use super::super::rows::Scale;
use super::by_rows;
use super::int8::Int8Tile;

/// Vectors of a panel's columns.
const VECTORS: usize = COLUMNS / 16;

/// Products in bfloat16 of up to six rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn bf16(rows: usize, values: *const u16, stride: usize, panel: *const u8, tile: *mut [f32; COLUMNS]) {
    unsafe { bf16_step(rows, (values, stride), panel, stride / 2, (tile.cast::<f32>(), COLUMNS, false)) }
}

/// The same with a step of the panel: sums go on where they are told to.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn bf16_step(
    rows: usize,
    values: (*const u16, usize),
    panel: *const u8,
    pairs: usize,
    sums: (*mut f32, usize, bool),
) {
    unsafe {
        by_rows!(rows, bf16_tile, VECTORS(values, panel, pairs, sums));
    }
}

/// Products in bfloat16 of `R` rows, `stride` numbers apart, and a panel of `W` vectors; sums are `sums_stride` apart, and begin anew
/// or go on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(in crate::kernels) unsafe fn bf16_tile<const R: usize, const W: usize>(
    (values, stride): (*const u16, usize),
    panel: *const u8,
    pairs: usize,
    (sums_at, sums_stride, go_on): (*mut f32, usize, bool),
) {
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); W]; R];
        if go_on {
            for (row, sums) in sums.iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_loadu_ps(sums_at.add(row * sums_stride + vector * 16));
                }
            }
        }
        for pair in 0..pairs {
            let mut weights = [_mm512_setzero_ps(); W];
            for (vector, weight) in weights.iter_mut().enumerate() {
                *weight = _mm512_loadu_ps(panel.add((pair * W + vector) * 64).cast());
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = _mm512_set1_epi32(values.add(row * stride + pair * 2).cast::<i32>().read_unaligned());
                let value: __m512bh = std::mem::transmute(value);
                for (sum, &weight) in sums.iter_mut().zip(&weights) {
                    *sum = _mm512_dpbf16_ps(*sum, value, std::mem::transmute::<__m512, __m512bh>(weight));
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(sums_at.add(row * sums_stride + vector * 16), sum);
            }
        }
    }
}

/// Products in 8 bits of up to six rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn int8(rows: usize, part: Int8Tile) {
    unsafe {
        by_rows!(rows, int8_tile(part));
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn int8_tile<const R: usize>(part: Int8Tile) {
    unsafe {
        for block in 0..part.blocks {
            let mut sums = [[_mm512_set1_epi32(0); VECTORS]; R];
            for quad in part.quads(block) {
                let mut weights = [_mm512_set1_epi32(0); VECTORS];
                for (vector, weight) in weights.iter_mut().enumerate() {
                    *weight = _mm512_loadu_si512(part.panel.add((quad * VECTORS + vector) * 64).cast());
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let steps = part.steps.add(row * part.stride + quad * 4).cast::<i32>().read_unaligned();
                    let steps = _mm512_set1_epi32(steps);
                    for (sum, &weight) in sums.iter_mut().zip(&weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, steps, weight);
                    }
                }
            }
            scale(&part, block, &sums);
        }
    }
}

/// Adds the sums of a block to the tile, by its scales; the first one begins it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn scale(part: &Int8Tile, block: usize, sums: &[[__m512i; VECTORS]]) {
    unsafe {
        let (mut scales, mut of_weights) = ([_mm512_setzero_ps(); VECTORS], [_mm512_setzero_ps(); VECTORS]);
        for vector in 0..VECTORS {
            scales[vector] = _mm512_loadu_ps(part.scales.add(block * COLUMNS + vector * 16));
            of_weights[vector] = _mm512_loadu_ps(part.sums.add(block * COLUMNS + vector * 16));
        }
        for (row, sums) in sums.iter().enumerate() {
            let Scale { step, least } = *part.row_scales.add(row * part.blocks + block);
            let (step, least) = (_mm512_set1_ps(step), _mm512_set1_ps(least));
            for (vector, &sum) in sums.iter().enumerate() {
                let place = (*part.tile.add(row)).as_mut_ptr().add(vector * 16);
                let before = if block == 0 { _mm512_setzero_ps() } else { _mm512_loadu_ps(place) };
                let total = _mm512_fmadd_ps(least, of_weights[vector], before);
                let scale = _mm512_mul_ps(step, scales[vector]);
                _mm512_storeu_ps(place, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, total));
            }
        }
    }
}
