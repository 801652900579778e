//! AVX2 with FMA: 8 numbers.
#![expect(
    unsafe_code,
    reason = "instructions that not every processor has: `Avx2` and `F32x8` exist only where it has them"
)]

use std::arch::x86_64::{
    __m256, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_ps, _mm256_blendv_ps, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps, _mm256_div_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps,
};
use std::array::from_fn;
use std::ops::{Add, Div, Mul, Sub};

use super::{Kernel, Simd, Vector};

const LANES: usize = 8;

/// Exists only where the processor has AVX2.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx2(());

/// Comes of [`Avx2`] alone.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct F32x8(__m256);

impl Avx2 {
    /// For functions that are compiled for AVX2: others can call it nowhere but in `unsafe`.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    pub(in crate::kernels) fn new() -> Self {
        Self(())
    }
}

/// `kernel` with AVX2, which the processor must have.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::new())
}

// SAFETY, of all below: who has one of the types runs on a processor with AVX2, and slices are checked before they are touched.
impl Simd for Avx2 {
    type Vector = F32x8;

    #[inline(always)]
    fn splat(self, number: f32) -> F32x8 {
        F32x8(unsafe { _mm256_set1_ps(number) })
    }

    #[inline(always)]
    fn load(self, numbers: &[f32]) -> F32x8 {
        F32x8(unsafe { _mm256_loadu_ps(numbers[..LANES].as_ptr()) })
    }

    #[inline(always)]
    fn load_f16(self, bits: &[u16]) -> F32x8 {
        F32x8(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bits[..LANES].as_ptr().cast())) })
    }

    #[inline(always)]
    fn load_bf16(self, bits: &[u16]) -> F32x8 {
        let wide = unsafe { _mm256_cvtepu16_epi32(_mm_loadu_si128(bits[..LANES].as_ptr().cast())) };
        F32x8(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)) })
    }

    #[inline(always)]
    fn prefetch(self, line: &[u8]) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_part(self, numbers: &[f32]) -> F32x8 {
        let mut lanes = [0.0; LANES];
        let count = numbers.len().min(LANES);
        lanes[..count].copy_from_slice(&numbers[..count]);
        self.load(&lanes)
    }
}

impl Vector for F32x8 {
    const LANES: usize = LANES;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn store(self, numbers: &mut [f32]) {
        unsafe { _mm256_storeu_ps(numbers[..LANES].as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn store_part(self, numbers: &mut [f32]) {
        let count = numbers.len().min(LANES);
        numbers[..count].copy_from_slice(&self.lanes()[..count]);
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, term.0) })
    }

    #[inline(always)]
    fn at_least(self, floor: Self) -> Self {
        Self(unsafe { _mm256_max_ps(floor.0, self.0) })
    }

    #[inline(always)]
    fn at_most(self, ceiling: Self) -> Self {
        Self(unsafe { _mm256_min_ps(ceiling.0, self.0) })
    }

    #[inline(always)]
    fn if_negative(self, negative: Self, other: Self) -> Self {
        Self(unsafe { _mm256_blendv_ps(other.0, negative.0, self.0) })
    }

    #[inline(always)]
    fn exponent(self) -> Self {
        Self(unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(self.0))) })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let lanes = self.lanes();
        let halves: [f32; LANES / 2] = from_fn(|lane| lanes[lane] + lanes[lane + LANES / 2]);
        (halves[0] + halves[2]) + (halves[1] + halves[3])
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        self.lanes().into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}

impl F32x8 {
    #[inline(always)]
    fn lanes(self) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes);
        lanes
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $instruction:ident) => {
        impl $trait for F32x8 {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(unsafe { $instruction(self.0, other.0) })
            }
        }
    };
}
operator!(Add, add, _mm256_add_ps);
operator!(Sub, sub, _mm256_sub_ps);
operator!(Mul, mul, _mm256_mul_ps);
operator!(Div, div, _mm256_div_ps);
