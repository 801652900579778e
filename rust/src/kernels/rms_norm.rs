//! Rows of numbers whose squares have the mean 1.

use std::sync::{Mutex, PoisonError};

use super::cpu::Cpu;
use super::normalize::{SHARE, Step, each, load};
use super::threads::Threads;
use super::vectors::{Kernel, Simd, Vector, run};

/// Root mean square normalization: x / √(mean of x² + epsilon) · scale.
#[derive(Clone, Copy)]
pub struct RmsNorm<'a> {
    /// `[size]`; where a model adds 1 to what is stored, with it.
    pub scale: &'a [f32],
    /// Added to the mean.
    pub epsilon: f32,
}

/// Writes the normalized `rows` `[rows, size]` to `out`. A row's numbers depend on nothing but the row.
///
/// # Panics
/// Where lengths do not fit each other.
pub fn rms_norm(cpu: Cpu, threads: &dyn Threads, rows: &[f32], norm: RmsNorm, out: &mut [f32]) {
    let size = norm.scale.len();
    assert!(size > 0 && out.len().is_multiple_of(size), "a row has a scale");
    assert!(rows.len() == out.len(), "a row for each row");
    let share = SHARE.div_ceil(size) * size;
    let blocks: Vec<_> = rows.chunks(share).zip(out.chunks_mut(share)).map(Mutex::new).collect();
    threads.share(blocks.len(), &|part| {
        let mut block = blocks[part].lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, ref mut out) = *block;
        run(cpu.vectors, Normed { rows, norm, out });
    });
}

struct Normed<'a> {
    rows: &'a [f32],
    norm: RmsNorm<'a>,
    out: &'a mut [f32],
}

impl Kernel for Normed<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let size = self.norm.scale.len();
        for (row, out) in self.rows.chunks_exact(size).zip(self.out.chunks_exact_mut(size)) {
            norm_row(simd, row, self.norm, out);
        }
    }
}

/// One row, as a part of another kernel too: all slices have the row's length.
#[inline(always)]
pub(super) fn norm_row<S: Simd>(simd: S, row: &[f32], norm: RmsNorm, out: &mut [f32]) {
    #[expect(clippy::cast_precision_loss, reason = "rows are short")]
    let size = out.len() as f32;
    let squares = each(simd, out, Take(row)) / size;
    let inverse = simd.splat(1.0 / (squares + norm.epsilon).sqrt());
    each(simd, out, Scale(inverse, norm.scale));
}

#[derive(Clone, Copy)]
struct Take<'a>(&'a [f32]);

impl<V: Vector> Step<V> for Take<'_> {
    #[inline(always)]
    fn of<S: Simd<Vector = V>>(self, simd: S, _: V, at: usize, count: usize) -> V {
        load(simd, self.0, at, count)
    }

    #[inline(always)]
    fn summed(x: V) -> V {
        x * x
    }
}

#[derive(Clone, Copy)]
struct Scale<'a, V>(V, &'a [f32]);

impl<V: Vector> Step<V> for Scale<'_, V> {
    #[inline(always)]
    fn of<S: Simd<Vector = V>>(self, simd: S, x: V, at: usize, count: usize) -> V {
        x * self.0 * load(simd, self.1, at, count)
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

    const EPSILON: f32 = 1e-6;

    fn normed(cpu: Cpu, threads: &dyn Threads, rows: &[f32], scale: &[f32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; rows.len()];
        rms_norm(cpu, threads, rows, RmsNorm { scale, epsilon: EPSILON }, &mut out);
        out
    }

    #[test]
    fn rows_are_normalized_as_in_float64() {
        for size in [1, 3, 8, 16, 31, 64, 100, 256, 2304] {
            let (rows, scale) = (numbers(5 * size, 1), numbers(size, 2));
            let norm = |row: &[f32]| -> Vec<f64> {
                let squares: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum();
                let size = f64::from(u32::try_from(row.len()).expect("short"));
                let root = (squares / size + f64::from(EPSILON)).sqrt();
                row.iter().zip(&scale).map(|(x, scale)| f64::from(*x) / root * f64::from(*scale)).collect()
            };
            let expected: Vec<f64> = rows.chunks(size).flat_map(norm).collect();
            for cpu in every_width() {
                assert_close(
                    &normed(cpu, &Alone, &rows, &scale),
                    &expected,
                    1e-6,
                    &format!("{size}, {:?}", cpu.vectors),
                );
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company_and_with_any_threads() {
        let size = 100;
        let (rows, scale) = (numbers(700 * size, 1), numbers(size, 2));
        for cpu in every_width() {
            let together = normed(cpu, &Alone, &rows, &scale);
            assert_same_bits(&normed(cpu, &Several(3), &rows, &scale), &together, "three threads");
            for row in [0, 163, 699] {
                let place = row * size..(row + 1) * size;
                assert_same_bits(&normed(cpu, &Alone, &rows[place.clone()], &scale), &together[place], "a row alone");
            }
        }
    }
}
