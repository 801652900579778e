//! AVX512-BF16: float32 narrowed to bfloat16, two numbers side by side.
#![expect(
    unsafe_code,
    reason = "slices are checked before they are touched, and callers are compiled for the instructions"
)]

use std::arch::x86_64::{
    __m256bh, __m256i, __m512bh, __m512i, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh,
    _mm512_or_si512, _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::avx512::F32x16;

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
    // Squares of 4 × 4 within each quarter of a vector, and then the quarters.
    for four in 0..4 {
        let [one, two, three, four] = &mut rows[4 * four..][..4] else { unreachable!("four rows") };
        let (low, high) = (_mm512_unpacklo_epi32(one.0, two.0), _mm512_unpackhi_epi32(one.0, two.0));
        let (lower, higher) = (_mm512_unpacklo_epi32(three.0, four.0), _mm512_unpackhi_epi32(three.0, four.0));
        one.0 = _mm512_unpacklo_epi64(low, lower);
        two.0 = _mm512_unpackhi_epi64(low, lower);
        three.0 = _mm512_unpacklo_epi64(high, higher);
        four.0 = _mm512_unpackhi_epi64(high, higher);
    }
    for column in 0..4 {
        let (one, two) = (rows[column].0, rows[4 + column].0);
        let (three, four) = (rows[8 + column].0, rows[12 + column].0);
        let (even, odd) = (_mm512_shuffle_i32x4::<0x88>(one, two), _mm512_shuffle_i32x4::<0xdd>(one, two));
        let (evens, odds) = (_mm512_shuffle_i32x4::<0x88>(three, four), _mm512_shuffle_i32x4::<0xdd>(three, four));
        rows[column].0 = _mm512_shuffle_i32x4::<0x88>(even, evens);
        rows[4 + column].0 = _mm512_shuffle_i32x4::<0x88>(odd, odds);
        rows[8 + column].0 = _mm512_shuffle_i32x4::<0xdd>(even, evens);
        rows[12 + column].0 = _mm512_shuffle_i32x4::<0xdd>(odd, odds);
    }
}
