//! AVX512-BF16: float32 narrowed to bfloat16, two numbers side by side.
#![expect(
    unsafe_code,
    reason = "slices are checked before they are touched, and callers are compiled for the instructions"
)]

use std::arch::x86_64::{
    __m256bh, __m256i, __m512bh, __m512i, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh,
    _mm512_or_si512, _mm512_slli_epi32, _mm512_storeu_si512,
};

use super::avx512::{self, F32x16};

/// 16 pairs of numbers in bfloat16.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Pairs(__m512i);

impl Pairs {
    /// The numbers of `low` and then those of `high`, by two.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[inline]
    pub(in crate::kernels) fn of(low: F32x16, high: F32x16) -> Self {
        Self(unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high.0, low.0)) })
    }

    /// Each number of `first` with that of `second`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[inline]
    pub(in crate::kernels) fn beside(first: F32x16, second: F32x16) -> Self {
        let first = _mm512_cvtepu16_epi32(bits(first));
        Self(_mm512_or_si512(first, _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits(second)))))
    }

    /// Writes the first 32 of `bits`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[inline]
    pub(in crate::kernels) fn store(self, bits: &mut [u16]) {
        unsafe { _mm512_storeu_si512(bits[..32].as_mut_ptr().cast(), self.0) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
fn bits(numbers: F32x16) -> __m256i {
    unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(numbers.0)) }
}

/// Makes columns of rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
pub(in crate::kernels) fn transpose(rows: &mut [Pairs; 16]) {
    let mut bits = [rows[0].0; 16];
    for (bits, row) in bits.iter_mut().zip(rows.iter()) {
        *bits = row.0;
    }
    avx512::transpose(&mut bits);
    for (row, bits) in rows.iter_mut().zip(bits) {
        row.0 = bits;
    }
}
