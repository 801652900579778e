//! What every processor has: 4 numbers, which compilers make vectors of.

use std::array::from_fn;
use std::ops::{Add, Div, Mul, Sub};

use half::{bf16, f16};

use super::{Kernel, Simd, Vector};

const LANES: usize = 4;
/// Whether the target multiplies and adds in one instruction; elsewhere that would be a call.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

#[derive(Clone, Copy)]
pub(super) struct Portable;

#[derive(Clone, Copy)]
pub(super) struct F32x4([f32; LANES]);

/// `kernel` with what every processor has.
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

impl Simd for Portable {
    type Vector = F32x4;

    #[inline(always)]
    fn splat(self, number: f32) -> F32x4 {
        F32x4([number; LANES])
    }

    #[inline(always)]
    fn load(self, numbers: &[f32]) -> F32x4 {
        F32x4(from_fn(|lane| numbers[..LANES][lane]))
    }

    #[inline(always)]
    fn load_f16(self, bits: &[u16]) -> F32x4 {
        F32x4(from_fn(|lane| f16::from_bits(bits[..LANES][lane]).to_f32_const()))
    }

    #[inline(always)]
    fn load_bf16(self, bits: &[u16]) -> F32x4 {
        F32x4(from_fn(|lane| bf16::from_bits(bits[..LANES][lane]).to_f32_const()))
    }

    #[inline(always)]
    fn load_part(self, numbers: &[f32]) -> F32x4 {
        F32x4(from_fn(|lane| numbers.get(lane).copied().unwrap_or_default()))
    }
}

impl Vector for F32x4 {
    const LANES: usize = LANES;
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };

    #[inline(always)]
    fn store(self, numbers: &mut [f32]) {
        numbers[..LANES].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn store_part(self, numbers: &mut [f32]) {
        for (number, lane) in numbers.iter_mut().zip(self.0) {
            *number = lane;
        }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(from_fn(|lane| {
            let (number, factor, term) = (self.0[lane], factor.0[lane], term.0[lane]);
            if FUSED { number.mul_add(factor, term) } else { number * factor + term }
        }))
    }

    #[inline(always)]
    fn at_least(self, floor: Self) -> Self {
        self.zip(floor, |number, floor| if number < floor { floor } else { number })
    }

    #[inline(always)]
    fn at_most(self, ceiling: Self) -> Self {
        self.zip(ceiling, |number, ceiling| if number > ceiling { ceiling } else { number })
    }

    #[inline(always)]
    fn if_negative(self, negative: Self, other: Self) -> Self {
        Self(from_fn(|lane| if self.0[lane].is_sign_negative() { negative.0[lane] } else { other.0[lane] }))
    }

    #[inline(always)]
    fn exponent(self) -> Self {
        Self(self.0.map(|number| f32::from_bits(number.to_bits() << 23)))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        (a + b) + (c + d)
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        let [a, b, c, d] = self.0;
        a.max(b).max(c.max(d))
    }
}

impl F32x4 {
    #[inline(always)]
    fn zip(self, other: Self, function: impl Fn(f32, f32) -> f32) -> Self {
        Self(from_fn(|lane| function(self.0[lane], other.0[lane])))
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl $trait for F32x4 {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, |a, b| a.$method(b))
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);
