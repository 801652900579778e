//! Loops over float32 that are written once, for vectors of any width.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512_bf16;
mod portable;

use std::ops::{Add, Div, Mul, Sub};
use std::sync::OnceLock;

use super::cpu::{Cpu, Vectors};

/// Instructions that this processor has: a value of this type is the proof.
pub(super) trait Simd: Copy {
    /// What the instructions work on.
    type Vector: Vector;

    /// `number`, in every lane.
    fn splat(self, number: f32) -> Self::Vector;
    /// The first [`Vector::LANES`] of `numbers`, which are as many or more.
    fn load(self, numbers: &[f32]) -> Self::Vector;
    /// The first [`Vector::LANES`] of numbers in float16, which are as many or more.
    fn load_f16(self, bits: &[u16]) -> Self::Vector;
    /// The first [`Vector::LANES`] of numbers in bfloat16, which are as many or more.
    fn load_bf16(self, bits: &[u16]) -> Self::Vector;
    /// Asks for a line of memory that will be read soon.
    fn prefetch(self, _line: &[u8]) {}
    /// `numbers`, which may be fewer than [`Vector::LANES`]; 0 in the other lanes.
    fn load_part(self, numbers: &[f32]) -> Self::Vector;
}

/// Numbers that one instruction works on.
pub(super) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// How many numbers it has.
    const LANES: usize;
    /// How many of them a processor holds in its registers.
    const REGISTERS: usize;

    /// Writes the first [`Self::LANES`] of `numbers`, which are as many or more.
    fn store(self, numbers: &mut [f32]);
    /// Writes all of `numbers`, which may be fewer than [`Self::LANES`].
    fn store_part(self, numbers: &mut [f32]);
    /// self · `factor` + `term`.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The larger one; what is no number stays so.
    fn at_least(self, floor: Self) -> Self;
    /// The smaller one; what is no number stays so.
    fn at_most(self, ceiling: Self) -> Self;
    /// `negative` where self is below 0 (or -0, or not a number with the sign), else `other`.
    fn if_negative(self, negative: Self, other: Self) -> Self;
    /// The numbers whose bits are the last 9 of these, shifted into sign and exponent.
    fn exponent(self) -> Self;
    /// The sum of all lanes, in a fixed order.
    fn sum(self) -> f32;
    /// The largest lane.
    fn largest(self) -> f32;
}

/// Work that any instructions can do.
pub(super) trait Kernel {
    /// What comes of it.
    type Output;

    /// Does the work. To be compiled for `S`, this and all that it calls must be `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// `kernel` with `vectors`, or with the widest below that the processor has.
#[inline(always)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "instructions are used where the processor has them"))]
pub(super) fn run<K: Kernel>(vectors: Vectors, kernel: K) -> K::Output {
    match vectors.min(widest()) {
        // SAFETY: the processor has what it is compiled for.
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512 => unsafe { avx512::run(kernel) },
        // SAFETY: the processor has what it is compiled for.
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2 => unsafe { avx2::run(kernel) },
        #[cfg(not(target_arch = "x86_64"))]
        Vectors::Avx512 | Vectors::Avx2 => unreachable!("no other processor has them"),
        Vectors::Portable => portable::run(kernel),
    }
}

#[inline]
fn widest() -> Vectors {
    static WIDEST: OnceLock<Vectors> = OnceLock::new();
    *WIDEST.get_or_init(|| Cpu::detect().vectors)
}
