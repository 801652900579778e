//! AVX2: squares of 8 rows and 32 bytes of each, in registers.
#![expect(
    unsafe_code,
    reason = "whole squares of the step, on a processor that the caller found to have the instructions"
)]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cvtph_ps,
    _mm256_loadu_si256, _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_slli_epi32,
    _mm256_storeu_ps, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::super::matrix::Number;
use super::super::panels::COLUMNS;
use super::Step;

/// Rows of a square, and columns of four bytes.
const SIDE: usize = 8;

/// [`super::widen`] of all whole squares, which begin with the first row and number: how many rows and numbers they have.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn widen(step: &Step, out: &mut [f32]) -> (usize, usize) {
    unsafe {
        match step.panel.number {
            Number::F32 => widen_squares::<{ Number::F32 as u8 }>(step, out),
            Number::F16 => widen_squares::<{ Number::F16 as u8 }>(step, out),
            Number::Bf16 => widen_squares::<{ Number::Bf16 as u8 }>(step, out),
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen_squares<const NUMBER: u8>(step: &Step, out: &mut [f32]) -> (usize, usize) {
    let numbers = if NUMBER == Number::Bf16 as u8 { 2 * SIDE } else { SIDE };
    let (rows, places) = step.whole(SIDE, numbers);
    assert!(out.len() >= places * COLUMNS, "room for all numbers");
    for first in (0..rows).step_by(SIDE) {
        let (bytes, mut to) = (step.row(first), out[first..].as_mut_ptr());
        for place in (0..places).step_by(numbers) {
            unsafe {
                let from = bytes.as_ptr().add(place * step.panel.number.bytes());
                let mut square = square::<NUMBER>(from, step.row_bytes());
                transpose(&mut square);
                for column in square {
                    if NUMBER == Number::Bf16 as u8 {
                        let second = _mm256_and_si256(column, _mm256_set1_epi32(-65_536));
                        _mm256_storeu_ps(to, _mm256_castsi256_ps(_mm256_slli_epi32::<16>(column)));
                        _mm256_storeu_ps(to.add(COLUMNS), _mm256_castsi256_ps(second));
                        to = to.add(2 * COLUMNS);
                    } else {
                        _mm256_storeu_ps(to, _mm256_castsi256_ps(column));
                        to = to.add(COLUMNS);
                    }
                }
            }
        }
    }
    (rows, places)
}

/// Of 8 rows 8 numbers each, in float32; in bfloat16 8 pairs as they are.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn square<const NUMBER: u8>(first: *const u8, stride: usize) -> [__m256i; SIDE] {
    let mut rows = [_mm256_setzero_si256(); SIDE];
    for (number, row) in rows.iter_mut().enumerate() {
        let place = first.wrapping_add(number * stride);
        *row = unsafe {
            if NUMBER == Number::F16 as u8 {
                _mm256_castps_si256(_mm256_cvtph_ps(_mm_loadu_si128(place.cast())))
            } else {
                _mm256_loadu_si256(place.cast())
            }
        };
    }
    rows
}

/// Makes columns of rows of 8 numbers of four bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: &mut [__m256i; SIDE]) {
    // By places that are known when it is compiled: in a loop rows lie in memory.
    within_halves(rows, [0, 1, 2, 3]);
    within_halves(rows, [4, 5, 6, 7]);
    halves(rows, [0, 4]);
    halves(rows, [1, 5]);
    halves(rows, [2, 6]);
    halves(rows, [3, 7]);
}

#[inline]
#[target_feature(enable = "avx2")]
fn within_halves(rows: &mut [__m256i; SIDE], [a, b, c, d]: [usize; 4]) {
    let (low, high) = (_mm256_unpacklo_epi32(rows[a], rows[b]), _mm256_unpackhi_epi32(rows[a], rows[b]));
    let (lower, higher) = (_mm256_unpacklo_epi32(rows[c], rows[d]), _mm256_unpackhi_epi32(rows[c], rows[d]));
    rows[a] = _mm256_unpacklo_epi64(low, lower);
    rows[b] = _mm256_unpackhi_epi64(low, lower);
    rows[c] = _mm256_unpacklo_epi64(high, higher);
    rows[d] = _mm256_unpackhi_epi64(high, higher);
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves(rows: &mut [__m256i; SIDE], [a, b]: [usize; 2]) {
    let (first, second) = (rows[a], rows[b]);
    rows[a] = _mm256_permute2x128_si256::<0x20>(first, second);
    rows[b] = _mm256_permute2x128_si256::<0x31>(first, second);
}
