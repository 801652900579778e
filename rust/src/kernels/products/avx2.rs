//! AVX2: 8 numbers of float32, 16 products of 8 bits in 16, or with AVX-VNNI 32 products of 8 bits an instruction.
#![expect(clippy::cast_ptr_alignment, reason = "loads that need no alignment")]
#![expect(
    unsafe_code,
    reason = "callers see to it that pointers lead to enough numbers and the processor has the instructions"
)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_dpbusd_avx_epi32, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srai_epi16, _mm256_storeu_ps,
};

use super::super::panels::COLUMNS;
use super::super::rows::Scale;
use super::by_rows;
use super::int8::Int8Tile;

/// Vectors of columns beside each other in a tile.
const VECTORS: usize = 2;
/// Columns of a tile in 8 bits.
const GROUP: usize = VECTORS * 8;

/// Products in 8 bits of up to six rows, in 16 bits: exact, and none saturates.
// By fours along K, with two sums for each column, there were more sums than registers: 0.8 ×. Weights in 16 bits beforehand: 0.9 ×.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn int8(rows: usize, part: Int8Tile) {
    unsafe {
        by_rows!(rows, int8_tile(part));
    }
}

/// Where a shuffle takes the bytes from that make pairs of fours: from `first` on two of each, as the upper halves of 16 bits.
const fn pair_of_fours(first: u8) -> [u8; 32] {
    let mut places = [0x80; 32];
    let (mut at, mut byte) = (0, first);
    while at < places.len() {
        places[at + 1] = byte;
        places[at + 3] = byte + 1;
        // Shuffles count from the beginning of each half.
        (at, byte) = (at + 4, (byte + 4) % 16);
    }
    places
}

static PAIRS: [[u8; 32]; 2] = [pair_of_fours(0), pair_of_fours(2)];

/// Of eight fours of weights a pair each, in 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn wide(fours: *const __m256i, places: &[u8; 32]) -> __m256i {
    let (fours, places) = unsafe { (_mm256_loadu_si256(fours), _mm256_loadu_si256(places.as_ptr().cast())) };
    _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(fours, places))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn int8_tile<const R: usize>(part: Int8Tile) {
    for block in 0..part.blocks {
        for group in (0..COLUMNS).step_by(GROUP) {
            unsafe {
                let mut sums = [[_mm256_setzero_si256(); VECTORS]; R];
                for quad in part.quads(block) {
                    let bytes = part.panel.add((quad * COLUMNS + group) * 4).cast::<__m256i>();
                    for (pair, places) in PAIRS.iter().enumerate() {
                        let weights = [wide(bytes, places), wide(bytes.add(1), places)];
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let steps = part.wide_steps.add(row * part.stride + quad * 4 + pair * 2);
                            let steps = _mm256_set1_epi32(steps.cast::<i32>().read_unaligned());
                            for (sum, &weight) in sums.iter_mut().zip(&weights) {
                                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(weight, steps));
                            }
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

/// Products in 8 bits of up to six rows.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) unsafe fn int8_vnni(rows: usize, part: Int8Tile) {
    unsafe {
        by_rows!(rows, vnni_tile(part));
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
