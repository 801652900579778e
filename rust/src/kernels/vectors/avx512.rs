//! AVX-512: 16 numbers.
#![expect(
    unsafe_code,
    reason = "instructions that not every processor has: `Avx512` and `F32x16` exist only where it has them"
)]

use std::arch::x86_64::{
    __m512, __m512i, __mmask16, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_add_ps, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_cvtph_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mask_blend_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_movepi32_mask, _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_set1_ps,
    _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_ps, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::ops::{Add, Div, Mul, Sub};

use super::{Kernel, Simd, Vector};

const LANES: usize = 16;

/// Exists only where the processor has AVX-512.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx512(());

/// Comes of [`Avx512`] alone.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32x16(pub(super) __m512);

impl Avx512 {
    /// For functions that are compiled for AVX-512: others can call it nowhere but in `unsafe`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
    #[inline]
    pub(in crate::kernels) fn new() -> Self {
        Self(())
    }
}

/// `kernel` with AVX-512, which the processor must have.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512::new())
}

// SAFETY, of all below: who has one of the types runs on a processor with AVX-512, and slices are checked before they are touched.
impl Simd for Avx512 {
    type Vector = F32x16;

    #[inline(always)]
    fn splat(self, number: f32) -> F32x16 {
        F32x16(unsafe { _mm512_set1_ps(number) })
    }

    #[inline(always)]
    fn load(self, numbers: &[f32]) -> F32x16 {
        F32x16(unsafe { _mm512_loadu_ps(numbers[..LANES].as_ptr()) })
    }

    #[inline(always)]
    fn load_f16(self, bits: &[u16]) -> F32x16 {
        F32x16(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bits[..LANES].as_ptr().cast())) })
    }

    #[inline(always)]
    fn load_bf16(self, bits: &[u16]) -> F32x16 {
        let wide = unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(bits[..LANES].as_ptr().cast())) };
        F32x16(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide)) })
    }

    #[inline(always)]
    fn prefetch(self, line: &[u8]) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_part(self, numbers: &[f32]) -> F32x16 {
        // An empty slice lies anywhere, and where there is no memory a load of no lane takes hundreds of cycles.
        if numbers.is_empty() {
            return self.splat(0.0);
        }
        F32x16(unsafe { _mm512_maskz_loadu_ps(first(numbers.len()), numbers.as_ptr()) })
    }
}

impl Vector for F32x16 {
    const LANES: usize = LANES;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn store(self, numbers: &mut [f32]) {
        unsafe { _mm512_storeu_ps(numbers[..LANES].as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn store_part(self, numbers: &mut [f32]) {
        unsafe { _mm512_mask_storeu_ps(numbers.as_mut_ptr(), first(numbers.len()), self.0) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }

    #[inline(always)]
    fn at_least(self, floor: Self) -> Self {
        Self(unsafe { _mm512_max_ps(floor.0, self.0) })
    }

    #[inline(always)]
    fn at_most(self, ceiling: Self) -> Self {
        Self(unsafe { _mm512_min_ps(ceiling.0, self.0) })
    }

    #[inline(always)]
    fn if_negative(self, negative: Self, other: Self) -> Self {
        Self(unsafe { _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(self.0)), other.0, negative.0) })
    }

    #[inline(always)]
    fn exponent(self) -> Self {
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0))) })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        unsafe { _mm512_reduce_max_ps(self.0) }
    }
}

/// The mask of the first `lanes`, or of all.
#[inline(always)]
fn first(lanes: usize) -> __mmask16 {
    if lanes < LANES { (1 << lanes) - 1 } else { !0 }
}

/// Makes columns of 16 rows of 16 numbers of four bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::kernels) fn transpose(rows: &mut [__m512i; 16]) {
    // Squares of 4 × 4 within each quarter of a vector, and then the quarters. By places that are known when it is compiled: in a loop
    // rows lie in memory.
    within_quarters(rows, [0, 1, 2, 3]);
    within_quarters(rows, [4, 5, 6, 7]);
    within_quarters(rows, [8, 9, 10, 11]);
    within_quarters(rows, [12, 13, 14, 15]);
    quarters(rows, [0, 4, 8, 12]);
    quarters(rows, [1, 5, 9, 13]);
    quarters(rows, [2, 6, 10, 14]);
    quarters(rows, [3, 7, 11, 15]);
}

#[inline]
#[target_feature(enable = "avx512f")]
fn within_quarters(rows: &mut [__m512i; 16], [a, b, c, d]: [usize; 4]) {
    let (low, high) = (_mm512_unpacklo_epi32(rows[a], rows[b]), _mm512_unpackhi_epi32(rows[a], rows[b]));
    let (lower, higher) = (_mm512_unpacklo_epi32(rows[c], rows[d]), _mm512_unpackhi_epi32(rows[c], rows[d]));
    rows[a] = _mm512_unpacklo_epi64(low, lower);
    rows[b] = _mm512_unpackhi_epi64(low, lower);
    rows[c] = _mm512_unpacklo_epi64(high, higher);
    rows[d] = _mm512_unpackhi_epi64(high, higher);
}

#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(rows: &mut [__m512i; 16], [a, b, c, d]: [usize; 4]) {
    let even = _mm512_shuffle_i32x4::<0x88>(rows[a], rows[b]);
    let odd = _mm512_shuffle_i32x4::<0xdd>(rows[a], rows[b]);
    let evens = _mm512_shuffle_i32x4::<0x88>(rows[c], rows[d]);
    let odds = _mm512_shuffle_i32x4::<0xdd>(rows[c], rows[d]);
    rows[a] = _mm512_shuffle_i32x4::<0x88>(even, evens);
    rows[b] = _mm512_shuffle_i32x4::<0x88>(odd, odds);
    rows[c] = _mm512_shuffle_i32x4::<0xdd>(even, evens);
    rows[d] = _mm512_shuffle_i32x4::<0xdd>(odd, odds);
}

macro_rules! operator {
    ($trait:ident, $method:ident, $instruction:ident) => {
        impl $trait for F32x16 {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(unsafe { $instruction(self.0, other.0) })
            }
        }
    };
}
operator!(Add, add, _mm512_add_ps);
operator!(Sub, sub, _mm512_sub_ps);
operator!(Mul, mul, _mm512_mul_ps);
operator!(Div, div, _mm512_div_ps);
