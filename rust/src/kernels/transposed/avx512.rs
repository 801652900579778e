//! AVX-512: squares of 16 rows and 64 bytes of each, in registers.
#![expect(
    unsafe_code,
    reason = "whole squares of the step, on a processor that the caller found to have the instructions"
)]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_and_si512, _mm512_castsi512_ps,
    _mm512_castsi512_si256, _mm512_cvtepi32_epi16, _mm512_cvtne2ps_pbh, _mm512_cvtph_ps, _mm512_extracti64x4_epi64,
    _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_srli_epi32,
    _mm512_storeu_ps, _mm512_storeu_si512,
};

use super::super::matrix::Number;
use super::super::panels::COLUMNS;
use super::super::vectors::avx512::transpose;
use super::Step;

/// Rows of a square.
const SIDE: usize = 16;
/// Bytes of a row of a square.
const LINE: usize = 64;
/// How far ahead memory is asked for what comes next in a row.
const AHEAD: usize = 512;

/// [`super::widen`] of all whole squares, which begin with the first row and number: how many rows and numbers they have.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn widen(step: &Step, out: &mut [f32]) -> (usize, usize) {
    unsafe {
        match step.panel.number {
            Number::F32 => widen_squares::<{ Number::F32 as u8 }>(step, out),
            Number::F16 => widen_squares::<{ Number::F16 as u8 }>(step, out),
            Number::Bf16 => widen_squares::<{ Number::Bf16 as u8 }>(step, out),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn widen_squares<const NUMBER: u8>(step: &Step, out: &mut [f32]) -> (usize, usize) {
    let (rows, places) = step.whole(SIDE, if NUMBER == Number::F32 as u8 { SIDE } else { 2 * SIDE });
    assert!(out.len() >= places * COLUMNS, "room for all numbers");
    for first in (0..rows).step_by(SIDE) {
        let (bytes, mut to) = (step.row(first), out[first..].as_mut_ptr());
        for line in 0..places * step.panel.number.bytes() / LINE {
            unsafe {
                let mut square = square(bytes.as_ptr().add(line * LINE), step.row_bytes(), ahead(step, line * LINE));
                transpose(&mut square);
                for column in square {
                    if NUMBER == Number::F32 as u8 {
                        _mm512_storeu_ps(to, _mm512_castsi512_ps(column));
                        to = to.add(COLUMNS);
                    } else {
                        let [first, second] =
                            if NUMBER == Number::F16 as u8 { of_f16(column) } else { of_bf16(column) };
                        _mm512_storeu_ps(to, first);
                        _mm512_storeu_ps(to.add(COLUMNS), second);
                        to = to.add(2 * COLUMNS);
                    }
                }
            }
        }
    }
    (rows, places)
}

/// [`super::pair`] of all whole squares, which begin with the first row and number: how many rows and numbers they have.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(super) unsafe fn pair(step: &Step, out: &mut [u16]) -> (usize, usize) {
    unsafe {
        match step.panel.number {
            Number::F32 => pair_squares::<{ Number::F32 as u8 }>(step, out),
            Number::F16 => pair_squares::<{ Number::F16 as u8 }>(step, out),
            Number::Bf16 => pair_squares::<{ Number::Bf16 as u8 }>(step, out),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn pair_squares<const NUMBER: u8>(step: &Step, out: &mut [u16]) -> (usize, usize) {
    let (rows, places) = step.whole(SIDE, 2 * SIDE);
    assert!(out.len() >= places * COLUMNS, "room for all numbers");
    let stride = step.row_bytes();
    for first in (0..rows).step_by(SIDE) {
        let (bytes, mut to) = (step.row(first), out[2 * first..].as_mut_ptr());
        for place in (0..places).step_by(2 * SIDE) {
            unsafe {
                let from = bytes.as_ptr().add(place * step.panel.number.bytes());
                let mut rows = square(from, stride, ahead(step, place * step.panel.number.bytes()));
                if NUMBER == Number::F16 as u8 {
                    for row in &mut rows {
                        *row = narrowed(halves(*row));
                    }
                } else if NUMBER == Number::F32 as u8 {
                    for (row, behind) in
                        rows.iter_mut().zip(square(from.add(LINE), stride, ahead(step, place * 4 + LINE)))
                    {
                        *row = narrowed([_mm512_castsi512_ps(*row), _mm512_castsi512_ps(behind)]);
                    }
                }
                transpose(&mut rows);
                for column in rows {
                    _mm512_storeu_si512(to.cast(), column);
                    to = to.add(2 * COLUMNS);
                }
            }
        }
    }
    (rows, places)
}

/// From byte `at` of a row of a step on, how far behind it the bytes are that are asked for: behind a row of this panel that of the next one.
fn ahead(step: &Step, at: usize) -> usize {
    let place = step.places.start * step.panel.number.bytes() + at + AHEAD;
    if place < step.row_bytes() { AHEAD } else { AHEAD + (COLUMNS - 1) * step.row_bytes() }
}

/// 64 bytes of each of 16 rows.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn square(first: *const u8, stride: usize, ahead: usize) -> [__m512i; SIDE] {
    let mut rows = [_mm512_setzero_si512(); SIDE];
    for (number, row) in rows.iter_mut().enumerate() {
        let place = first.wrapping_add(number * stride);
        *row = unsafe { _mm512_loadu_si512(place.cast()) };
        _mm_prefetch::<_MM_HINT_T1>(place.wrapping_add(ahead).cast());
    }
    rows
}

/// Of each pair the first, and the second.
#[inline]
#[target_feature(enable = "avx512f")]
fn of_bf16(pairs: __m512i) -> [__m512; 2] {
    let second = _mm512_and_si512(pairs, _mm512_set1_epi32(-65_536));
    [_mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)), _mm512_castsi512_ps(second)]
}

/// Of each pair the first, and the second.
#[inline]
#[target_feature(enable = "avx512f")]
fn of_f16(pairs: __m512i) -> [__m512; 2] {
    let second = _mm512_srli_epi32::<16>(pairs);
    [_mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs)), _mm512_cvtph_ps(_mm512_cvtepi32_epi16(second))]
}

/// 32 numbers in float16, one after the other.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(numbers: __m512i) -> [__m512; 2] {
    let (low, high) = (_mm512_castsi512_si256(numbers), _mm512_extracti64x4_epi64::<1>(numbers));
    [_mm512_cvtph_ps(low), _mm512_cvtph_ps(high)]
}

/// 32 numbers, one after the other, in bfloat16.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn narrowed([low, high]: [__m512; 2]) -> __m512i {
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}
