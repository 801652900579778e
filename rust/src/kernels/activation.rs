//! The functions between two linear layers.

use super::cpu::Cpu;
use super::exponential::{exp, exp2, polynomial, tanh};
use super::vectors::{Kernel, Simd, Vector, run};

/// A function of each number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The exact GELU, with erf.
    Gelu,
    /// GELU's approximation with tanh.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// x · sigmoid(x).
    Silu,
    /// tanh(x).
    Tanh,
}

/// Replaces each of `values` by the function of it and its number of `bias`, which has as many.
///
/// # Panics
/// Where `bias` has another number of them.
pub fn add_bias_and_activate(cpu: Cpu, values: &mut [f32], bias: Option<&[f32]>, activation: Option<Activation>) {
    struct Row<'a>(&'a mut [f32], Option<&'a [f32]>, Option<Activation>);
    impl Kernel for Row<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            activate(simd, self.0, self.1, self.2);
        }
    }
    run(cpu.vectors, Row(values, bias, activation));
}

/// Rows of sums on their way out: a bias is added, and the function taken, of each.
pub(super) struct Finish<'a, R> {
    pub rows: &'a mut [R],
    pub columns: usize,
    pub bias: Option<&'a [f32]>,
    pub activation: Option<Activation>,
}

impl<R: AsMut<[f32]>> Kernel for Finish<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for row in self.rows {
            activate(simd, &mut row.as_mut()[..self.columns], self.bias, self.activation);
        }
    }
}

/// [`add_bias_and_activate`] as a part of another kernel.
#[inline(always)]
pub(super) fn activate<S: Simd>(simd: S, values: &mut [f32], bias: Option<&[f32]>, activation: Option<Activation>) {
    match activation {
        None if bias.is_none() => {}
        None => each(simd, values, bias, Same),
        Some(Activation::Gelu) => each(simd, values, bias, Gelu),
        Some(Activation::GeluTanh) => each(simd, values, bias, GeluTanh),
        Some(Activation::Relu) => each(simd, values, bias, Relu),
        Some(Activation::Silu) => each(simd, values, bias, Silu),
        Some(Activation::Tanh) => each(simd, values, bias, Tanh),
    }
}

trait Function: Copy {
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector;
}

#[inline(always)]
fn each<S: Simd>(simd: S, values: &mut [f32], bias: Option<&[f32]>, function: impl Function) {
    let lanes = S::Vector::LANES;
    assert!(bias.is_none_or(|bias| bias.len() == values.len()), "a bias for each number");
    let full = values.len() / lanes * lanes;
    for at in (0..full).step_by(lanes) {
        let mut x = simd.load(&values[at..]);
        if let Some(bias) = bias {
            x = x + simd.load(&bias[at..]);
        }
        function.of(simd, x).store(&mut values[at..]);
    }
    if full < values.len() {
        let mut x = simd.load_part(&values[full..]);
        if let Some(bias) = bias {
            x = x + simd.load_part(&bias[full..]);
        }
        function.of(simd, x).store_part(&mut values[full..]);
    }
}

#[derive(Clone, Copy)]
struct Same;

impl Function for Same {
    #[inline(always)]
    fn of<S: Simd>(self, _: S, x: S::Vector) -> S::Vector {
        x
    }
}

#[derive(Clone, Copy)]
struct Gelu;

/// log2 of the share of a normal distribution beyond z ≥ 0: the highest power first. 2^this errs by 1.5e-8 / max(z, 1).
const LOG2_BEYOND: [f32; 9] = [
    -2.334_948_8e-6,
    3.373_781_6e-5,
    -1.612_938_4e-4,
    -1.917_035_6e-4,
    7.126_865e-3,
    -5.253_361e-2,
    -4.591_983e-1,
    -1.151_106,
    -1.0,
];

impl Function for Gelu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        let away = x.at_least(simd.splat(0.0) - x);
        let beyond = exp2(simd, polynomial(simd, away, LOG2_BEYOND));
        x * x.if_negative(beyond, simd.splat(1.0) - beyond)
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;

impl Function for GeluTanh {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        // (1 + tanh(u)) / 2 is sigmoid(2u).
        let minus_two_u = x * polynomial(simd, x * x, [-0.071_354_82, -1.595_769]);
        x / (exp(simd, minus_two_u) + simd.splat(1.0))
    }
}

#[derive(Clone, Copy)]
struct Relu;

impl Function for Relu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        x.at_least(simd.splat(0.0))
    }
}

#[derive(Clone, Copy)]
struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        x / (exp(simd, simd.splat(0.0) - x) + simd.splat(1.0))
    }
}

#[derive(Clone, Copy)]
struct Tanh;

impl Function for Tanh {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::Vector) -> S::Vector {
        tanh(simd, x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_close, every_width, numbers};

    const ALL: [Activation; 5] =
        [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu, Activation::Tanh];

    fn exact(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Gelu => x / 2.0 * beyond(-x / 2_f64.sqrt()),
            Activation::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                x / 2.0 * (1.0 + u.tanh())
            }
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Tanh => x.tanh(),
        }
    }

    /// erfc, by its series where it is near 1 and by its continued fraction far away.
    fn beyond(z: f64) -> f64 {
        if z < 0.0 {
            return 2.0 - beyond(-z);
        }
        let pi = std::f64::consts::PI;
        if z < 2.5 {
            let (mut term, mut sum) = (z, z);
            for n in 1..100 {
                let n = f64::from(n);
                term *= -z * z / n;
                sum += term / (2.0 * n + 1.0);
            }
            return 1.0 - 2.0 / pi.sqrt() * sum;
        }
        let fraction = (1..200).rev().fold(z, |below, n| z + f64::from(n) / 2.0 / below);
        (-z * z).exp() / pi.sqrt() / fraction
    }

    #[test]
    fn functions_are_those_of_float64() {
        let values: Vec<f32> = (-200_000..=200_000_i32)
            .map(|n| {
                f32::from(i16::try_from(n / 100).expect("small")) / 100.0
                    + f32::from(i16::try_from(n % 100).expect("small")) / 10_000.0
            })
            .collect();
        for activation in ALL {
            let expected: Vec<f64> = values.iter().map(|x| exact(activation, f64::from(*x))).collect();
            for cpu in every_width() {
                let mut out = values.clone();
                add_bias_and_activate(cpu, &mut out, None, Some(activation));
                for ((number, expected), x) in out.iter().zip(&expected).zip(&values) {
                    let error = (f64::from(*number) - expected).abs();
                    let most = 1.5e-7 * expected.abs().max(1.0);
                    assert!(
                        error <= most,
                        "{activation:?}({x}) is {number}, not {expected} ({error:e}, {:?})",
                        cpu.vectors
                    );
                }
            }
        }
    }

    #[test]
    fn a_small_tanh_is_as_exact_as_a_large_one() {
        for cpu in every_width() {
            for x in [1e-30_f32, -1e-6, 3e-4, 0.01, -0.3] {
                let mut out = [x];
                add_bias_and_activate(cpu, &mut out, None, Some(Activation::Tanh));
                let expected = f64::from(x).tanh();
                assert!((f64::from(out[0]) / expected - 1.0).abs() < 3e-7, "tanh({x}) is {}, not {expected}", out[0]);
            }
        }
    }

    #[test]
    fn what_is_not_finite_goes_where_the_formula_takes_it() {
        for cpu in every_width() {
            for activation in ALL {
                let mut out = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN];
                add_bias_and_activate(cpu, &mut out, None, Some(activation));
                let what = format!("{activation:?}, {:?}: {out:?}", cpu.vectors);
                assert!(out[2].is_nan() && out[3].is_nan(), "{what}");
                match activation {
                    Activation::Tanh => assert_eq!(out[..2], [1.0, -1.0], "{what}"),
                    Activation::Relu => assert_eq!(out[..2], [f32::INFINITY, 0.0], "{what}"),
                    _ => assert!(out[0] == f32::INFINITY && out[1].is_nan(), "{what}"),
                }
            }
        }
    }

    #[test]
    fn biases_are_added_first_in_rows_of_any_length() {
        for cpu in every_width() {
            for length in [0, 1, 7, 8, 9, 16, 33, 64] {
                let (values, bias) = (numbers(length, 1), numbers(length, 2));
                for activation in ALL.map(Some).into_iter().chain([None]) {
                    let sums = values.iter().zip(&bias).map(|(x, bias)| f64::from(*x) + f64::from(*bias));
                    let expected: Vec<f64> =
                        sums.map(|x| activation.map_or(x, |activation| exact(activation, x))).collect();
                    let mut out = values.clone();
                    add_bias_and_activate(cpu, &mut out, Some(&bias), activation);
                    assert_close(&out, &expected, 2e-7, &format!("{activation:?}, {length}, {:?}", cpu.vectors));
                }
            }
        }
    }
}
