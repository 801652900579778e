//! Exponentials, to a unit in the last place or two.

use std::f32::consts::LN_2;
pub(super) use std::f32::consts::LOG2_E;

use super::vectors::{Simd, Vector};

/// Added to a number between -127 and 128, leaves it rounded to a whole one, plus 127, in the last bits.
const ROUNDING: f32 = 12_582_912.0 + 127.0;
/// ln(2) in two parts, the first with few bits: its multiples are exact.
const LN_2_PARTS: (f32, f32) = (355.0 / 512.0, -2.121_944_4e-4);
/// (2^r - 1) / r for |r| ≤ 1/2, to 2e-9; the highest power first.
const EXP2: [f32; 6] = [1.535_336_2e-4, 1.339_887_5e-3, 9.618_437e-3, 5.550_332_4e-2, 2.402_264_8e-1, LN_2];
/// (e^r - 1 - r) / r² for |r| ≤ ln(2)/2, to 3e-9.
const EXP: [f32; 5] = [1.381_461_3e-3, 8.368_71e-3, 4.166_839e-2, 1.666_652_1e-1, 0.499_999_94];

/// `coefficients`, the highest power first, at `x`.
#[inline(always)]
pub(super) fn polynomial<S: Simd, const N: usize>(simd: S, x: S::Vector, coefficients: [f32; N]) -> S::Vector {
    let mut sum = simd.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = sum.mul_add(x, simd.splat(*coefficient));
    }
    sum
}

/// 2^x for x ≤ 128; 0 below -127.
#[inline(always)]
pub(super) fn exp2<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let x = x.at_least(simd.splat(-127.0));
    let shifted = x + simd.splat(ROUNDING);
    let rest = x - (shifted - simd.splat(ROUNDING));
    polynomial(simd, rest, EXP2).mul_add(rest, simd.splat(1.0)) * shifted.exponent()
}

/// e^x; 0 below -88, infinite above 89.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let (rest, power) = reduced(simd, x);
    (rest + simd.splat(1.0)) * power
}

/// e^x - 1, exact for small x too.
#[inline(always)]
fn exp_less_one<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let (rest, power) = reduced(simd, x);
    rest.mul_add(power, power - simd.splat(1.0))
}

/// tanh(x), as exact for small x as for large ones.
#[inline(always)]
pub(super) fn tanh<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    // From 10 on it is 1.
    let x = x.at_least(simd.splat(-10.0)).at_most(simd.splat(10.0));
    let grown = exp_less_one(simd, x + x);
    grown / (grown + simd.splat(2.0))
}

/// e^r - 1 and 2^n of the x = r + n ln(2) with the smallest r.
#[inline(always)]
fn reduced<S: Simd>(simd: S, x: S::Vector) -> (S::Vector, S::Vector) {
    let x = x.at_least(simd.splat(-88.0)).at_most(simd.splat(89.0));
    let shifted = x.mul_add(simd.splat(LOG2_E), simd.splat(ROUNDING));
    let whole = shifted - simd.splat(ROUNDING);
    let rest = whole.mul_add(simd.splat(-LN_2_PARTS.0), x);
    let rest = whole.mul_add(simd.splat(-LN_2_PARTS.1), rest);
    (polynomial(simd, rest, EXP).mul_add(rest * rest, rest), shifted.exponent())
}
