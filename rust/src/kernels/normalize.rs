//! Rows of numbers with mean 0 and variance 1.

use std::sync::{Mutex, PoisonError};

use super::cpu::Cpu;
use super::threads::Threads;
use super::vectors::{Kernel, Simd, Vector, run};

/// Sums of vectors that do not wait for each other.
const SUMS: usize = 4;
/// Numbers that are one thread's work at a time.
pub(super) const SHARE: usize = 1 << 14;

/// What rows of `size` numbers are added up of.
#[derive(Clone, Copy)]
pub struct Summands<'a> {
    /// `[rows, size]`.
    pub rows: &'a [f32],
    /// `[rows, size]`.
    pub skip: Option<&'a [f32]>,
    /// `[size]`, for every row.
    pub bias: Option<&'a [f32]>,
}

/// Layer normalization: (x - mean) / √(variance + epsilon) · scale + shift.
#[derive(Clone, Copy)]
pub struct LayerNorm<'a> {
    /// `[size]`.
    pub scale: &'a [f32],
    /// `[size]`.
    pub shift: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// Writes the normalized sums to `out`, `[rows, size]`. A row's numbers depend on nothing but the row.
///
/// # Panics
/// Where lengths do not fit each other.
pub fn add_and_norm(cpu: Cpu, threads: &dyn Threads, summands: Summands, norm: LayerNorm, out: &mut [f32]) {
    let size = norm.scale.len();
    assert!(
        size > 0 && norm.shift.len() == size && out.len().is_multiple_of(size),
        "a row has a scale and a shift each"
    );
    assert!(summands.rows.len() == out.len(), "a row for each row");
    assert!(summands.skip.is_none_or(|skip| skip.len() == out.len()), "a row to add for each row");
    assert!(summands.bias.is_none_or(|bias| bias.len() == size), "a bias for each number of a row");
    let share = SHARE.div_ceil(size) * size;
    let blocks: Vec<_> = out.chunks_mut(share).map(Mutex::new).collect();
    threads.share(blocks.len(), &|part| {
        let mut out = blocks[part].lock().unwrap_or_else(PoisonError::into_inner);
        let (first, numbers) = (part * share, out.len());
        let summands = Summands {
            rows: &summands.rows[first..][..numbers],
            skip: summands.skip.map(|skip| &skip[first..][..numbers]),
            ..summands
        };
        run(cpu.vectors, Rows { summands, norm, out: &mut out });
    });
}

struct Rows<'a> {
    summands: Summands<'a>,
    norm: LayerNorm<'a>,
    out: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let size = self.norm.scale.len();
        for (row, out) in self.out.chunks_exact_mut(size).enumerate() {
            let summands = Summands {
                rows: &self.summands.rows[row * size..][..size],
                skip: self.summands.skip.map(|skip| &skip[row * size..][..size]),
                ..self.summands
            };
            norm_row(simd, summands, self.norm, out);
        }
    }
}

/// One row, as a part of another kernel too: all slices have the row's length.
#[inline(always)]
pub(super) fn norm_row<S: Simd>(simd: S, summands: Summands, norm: LayerNorm, out: &mut [f32]) {
    #[expect(clippy::cast_precision_loss, reason = "rows are short")]
    let size = out.len() as f32;
    let mean = simd.splat(each(simd, out, Add(summands)) / size);
    let variance = each(simd, out, Center(mean)) / size;
    let inverse = simd.splat(1.0 / (variance + norm.epsilon).sqrt());
    each(simd, out, Scale(inverse, norm));
}

/// What is done with the numbers of a row: what is stored, and what of it is summed up.
pub(super) trait Step<V>: Copy {
    /// The new numbers in place of `x`, whose first is number `at` of the row, and there are `count`.
    fn of<S: Simd<Vector = V>>(self, simd: S, x: V, at: usize, count: usize) -> V;
    /// What is summed.
    fn summed(x: V) -> V;
}

/// Takes `step` with every number of `row`; gives the sum, added up in an order that its length decides.
#[inline(always)]
pub(super) fn each<S: Simd, T: Step<S::Vector>>(simd: S, row: &mut [f32], step: T) -> f32 {
    let lanes = S::Vector::LANES;
    let mut sums = [simd.splat(0.0); SUMS];
    let full = row.len() / (SUMS * lanes) * SUMS * lanes;
    for start in (0..full).step_by(SUMS * lanes) {
        for (place, sum) in sums.iter_mut().enumerate() {
            let at = start + place * lanes;
            let x = step.of(simd, simd.load(&row[at..]), at, lanes);
            x.store(&mut row[at..]);
            *sum = *sum + T::summed(x);
        }
    }
    for at in (full..row.len()).step_by(lanes) {
        let count = lanes.min(row.len() - at);
        let part = &mut row[at..][..count];
        step.of(simd, simd.load_part(part), at, count).store_part(part);
        // Read again, for zeros in the lanes beyond.
        sums[0] = sums[0] + T::summed(simd.load_part(part));
    }
    ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum()
}

/// `numbers` from `at` on.
#[inline(always)]
pub(super) fn load<S: Simd>(simd: S, numbers: &[f32], at: usize, count: usize) -> S::Vector {
    if count == S::Vector::LANES { simd.load(&numbers[at..]) } else { simd.load_part(&numbers[at..][..count]) }
}

#[derive(Clone, Copy)]
struct Add<'a>(Summands<'a>);

impl<V: Vector> Step<V> for Add<'_> {
    #[inline(always)]
    fn of<S: Simd<Vector = V>>(self, simd: S, _: V, at: usize, count: usize) -> V {
        let mut sum = load(simd, self.0.rows, at, count);
        if let Some(skip) = self.0.skip {
            sum = sum + load(simd, skip, at, count);
        }
        if let Some(bias) = self.0.bias {
            sum = sum + load(simd, bias, at, count);
        }
        sum
    }

    #[inline(always)]
    fn summed(x: V) -> V {
        x
    }
}

#[derive(Clone, Copy)]
struct Center<V>(V);

impl<V: Vector> Step<V> for Center<V> {
    #[inline(always)]
    fn of<S: Simd<Vector = V>>(self, _: S, x: V, _: usize, _: usize) -> V {
        x - self.0
    }

    #[inline(always)]
    fn summed(x: V) -> V {
        x * x
    }
}

#[derive(Clone, Copy)]
struct Scale<'a, V>(V, LayerNorm<'a>);

impl<V: Vector> Step<V> for Scale<'_, V> {
    #[inline(always)]
    fn of<S: Simd<Vector = V>>(self, simd: S, x: V, at: usize, count: usize) -> V {
        (x * self.0).mul_add(load(simd, self.1.scale, at, count), load(simd, self.1.shift, at, count))
    }

    #[inline(always)]
    fn summed(x: V) -> V {
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Several, assert_close, assert_same_bits, every_width, numbers};
    use crate::kernels::threads::Alone;

    const EPSILON: f32 = 1e-12;

    fn expected(row: &[f64], scale: &[f32], shift: &[f32]) -> Vec<f64> {
        let size = f64::from(u32::try_from(row.len()).expect("short"));
        let mean = row.iter().sum::<f64>() / size;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / size;
        let scaled = |(x, scale): (&f64, &f32)| (x - mean) / (variance + f64::from(EPSILON)).sqrt() * f64::from(*scale);
        row.iter().zip(scale).map(scaled).zip(shift).map(|(x, shift)| x + f64::from(*shift)).collect()
    }

    #[test]
    fn sums_are_normalized_as_in_float64() {
        for size in [1, 3, 8, 16, 31, 64, 100, 384, 1024] {
            let [rows, skip] = [1, 2].map(|seed| numbers(5 * size, seed));
            let [bias, scale, shift] = [3, 4, 5].map(|seed| numbers(size, seed));
            let norm = LayerNorm { scale: &scale, shift: &shift, epsilon: EPSILON };
            for (with_skip, with_bias) in [(true, true), (true, false), (false, true), (false, false)] {
                let sum = |at: usize| {
                    let skip = if with_skip { skip[at] } else { 0.0 };
                    f64::from(rows[at]) + f64::from(skip) + if with_bias { f64::from(bias[at % size]) } else { 0.0 }
                };
                let sums: Vec<f64> = (0..rows.len()).map(sum).collect();
                let expected: Vec<f64> = sums.chunks(size).flat_map(|row| expected(row, &scale, &shift)).collect();
                let summands =
                    Summands { rows: &rows, skip: with_skip.then_some(&skip), bias: with_bias.then_some(&bias) };
                for cpu in every_width() {
                    let mut out = vec![f32::NAN; rows.len()];
                    add_and_norm(cpu, &Alone, summands, norm, &mut out);
                    assert_close(&out, &expected, 2e-6, &format!("{size}, {:?}", cpu.vectors));
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company_and_with_any_threads() {
        let size = 100;
        let rows = numbers(700 * size, 1);
        let [scale, shift] = [2, 3].map(|seed| numbers(size, seed));
        let norm = LayerNorm { scale: &scale, shift: &shift, epsilon: EPSILON };
        let normed = |cpu, threads: &dyn Threads, rows: &[f32]| {
            let mut out = vec![f32::NAN; rows.len()];
            add_and_norm(cpu, threads, Summands { rows, skip: Some(rows), bias: None }, norm, &mut out);
            out
        };
        for cpu in every_width() {
            let together = normed(cpu, &Alone, &rows);
            assert_same_bits(&normed(cpu, &Several(3), &rows), &together, "three threads");
            for row in [0, 163, 699] {
                let place = row * size..(row + 1) * size;
                assert_same_bits(&normed(cpu, &Alone, &rows[place.clone()]), &together[place], "a row alone");
            }
        }
    }

    #[test]
    fn large_numbers_keep_their_variance() {
        let rows: Vec<f32> = numbers(384, 1).iter().map(|x| x + 1000.0).collect();
        let (scale, shift) = (vec![1.0; 384], vec![0.0; 384]);
        let exact: Vec<f64> = rows.iter().map(|x| f64::from(*x)).collect();
        let expected = expected(&exact, &scale, &shift);
        let norm = LayerNorm { scale: &scale, shift: &shift, epsilon: EPSILON };
        for cpu in every_width() {
            let mut out = vec![0.0; 384];
            add_and_norm(cpu, &Alone, Summands { rows: &rows, skip: None, bias: None }, norm, &mut out);
            assert_close(&out, &expected, 2e-4, "a mean of 1000");
        }
    }
}
