//! AVX2: 8 numbers of float32, 16 products of 8 bits in 16, or with AVX-VNNI 32 products of 8 bits an instruction.
#![expect(clippy::cast_ptr_alignment, reason = "loads that need no alignment")]
#![expect(
    unsafe_code,
    reason = "callers see to it that pointers lead to enough numbers and the processor has the instructions"
)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_dpbusd_avx_epi32, _mm256_fmadd_ps, _mm256_hadd_epi32,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_ps, _mm256_permute4x64_epi64, _mm256_set1_epi32,
    _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_storeu_ps,
};

use super::super::aligned::Aligned;
use super::super::panels::COLUMNS;
use super::super::rows::Scale;
use super::int8::Int8Tile;

/// Vectors of columns beside each other in a tile.
const VECTORS: usize = 2;
/// Columns of a tile in 8 bits.
const GROUP: usize = VECTORS * 8;

/// The numbers of a panel in 16 bits.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen_int8(panel: &[u8], wide: &mut Aligned<i16>) {
    wide.fit(panel.len());
    for (wide, weight) in wide.iter_mut().zip(panel) {
        *wide = i16::from(weight.cast_signed());
    }
}

/// Products in 8 bits of up to six rows, in 16 bits: exact, and none saturates.
// All rows by one block and group, whose weights stay in the nearest cache, are no faster.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn int8(rows: usize, part: Int8Tile) {
    for start in (0..rows).step_by(3) {
        unsafe {
            let part = part.after(start);
            match rows - start {
                1 => int8_tile::<1>(part),
                2 => int8_tile::<2>(part),
                _ => int8_tile::<3>(part),
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn int8_tile<const R: usize>(part: Int8Tile) {
    for block in 0..part.blocks {
        for group in (0..COLUMNS).step_by(GROUP) {
            unsafe {
                // Each column has two sums, of even and odd pairs along K.
                let mut sums = [[_mm256_setzero_si256(); GROUP / 4]; R];
                for quad in part.quads(block) {
                    let weights = part.wide_panel.add((quad * COLUMNS + group) * 4).cast::<__m256i>();
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let steps = part.wide_steps.add(row * part.stride + quad * 4).cast::<i64>();
                        let steps = _mm256_set1_epi64x(steps.read_unaligned());
                        for (four, sum) in sums.iter_mut().enumerate() {
                            let products = _mm256_madd_epi16(_mm256_loadu_si256(weights.add(four)), steps);
                            *sum = _mm256_add_epi32(*sum, products);
                        }
                    }
                }
                for (row, sums) in sums.iter().enumerate() {
                    let add = |one, other| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(one, other));
                    scale(&part, block, group, row, [add(sums[0], sums[1]), add(sums[2], sums[3])]);
                }
            }
        }
    }
}

/// Products in 8 bits of up to six rows.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) unsafe fn int8_vnni(rows: usize, part: Int8Tile) {
    unsafe {
        match rows {
            1 => vnni_tile::<1>(part),
            2 => vnni_tile::<2>(part),
            3 => vnni_tile::<3>(part),
            4 => vnni_tile::<4>(part),
            5 => vnni_tile::<5>(part),
            _ => vnni_tile::<6>(part),
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn vnni_tile<const R: usize>(part: Int8Tile) {
    for block in 0..part.blocks {
        for group in (0..COLUMNS).step_by(GROUP) {
            unsafe {
                let mut sums = [[_mm256_setzero_si256(); VECTORS]; R];
                for quad in part.quads(block) {
                    let weights = part.panel.add((quad * COLUMNS + group) * 4).cast::<__m256i>();
                    let weights = [_mm256_loadu_si256(weights), _mm256_loadu_si256(weights.add(1))];
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let steps = part.steps.add(row * part.stride + quad * 4).cast::<i32>().read_unaligned();
                        let steps = _mm256_set1_epi32(steps);
                        for (sum, &weight) in sums.iter_mut().zip(&weights) {
                            *sum = _mm256_dpbusd_avx_epi32(*sum, steps, weight);
                        }
                    }
                }
                for (row, &sums) in sums.iter().enumerate() {
                    scale(&part, block, group, row, sums);
                }
            }
        }
    }
}

/// Adds the sums of a block to the tile, by its scales; the first one begins it.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scale(part: &Int8Tile, block: usize, group: usize, row: usize, sums: [__m256i; VECTORS]) {
    unsafe {
        let Scale { step, least } = *part.row_scales.add(row * part.blocks + block);
        let (step, least) = (_mm256_set1_ps(step), _mm256_set1_ps(least));
        for (vector, sum) in sums.into_iter().enumerate() {
            let column = group + vector * 8;
            let scale = _mm256_mul_ps(step, _mm256_loadu_ps(part.scales.add(block * COLUMNS + column)));
            let of_weights = _mm256_loadu_ps(part.sums.add(block * COLUMNS + column));
            let place = (*part.tile.add(row)).as_mut_ptr().add(column);
            let before = if block == 0 { _mm256_setzero_ps() } else { _mm256_loadu_ps(place) };
            let total = _mm256_fmadd_ps(least, of_weights, before);
            _mm256_storeu_ps(place, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, total));
        }
    }
}
