//! Matrices in 8 and in 4 bits, written a block along K at a time, so that what is on the way stays in the nearest cache.
//!
//! 4 bits are 8 bits that are packed once more: a weight is a number of 4 bits times a small whole one that 32 weights share, which
//! together fit into 8 bits. So they are multiplied by the kernels of 8 bits, with the same bits from all of them.

use std::ops::Range;

use super::cpu::Cpu;
use super::panels::{BLOCK, COLUMNS, Format};
use super::vectors::{Kernel, Simd, Vector, run};

/// Numbers along K that share a multiplier in 4 bits.
pub(super) const PART: usize = 32;
/// Multipliers go from its negative to it: eight times as much is a number of 8 bits with either sign.
const MOST: f32 = 15.0;
/// Numbers along K that lie side by side in a panel.
const QUAD: usize = 4;

/// Reads some places of a row as float32.
pub type Read<'a> = &'a dyn Fn(usize, Range<usize>, &mut [f32]);

/// Numbers of a row: those behind its end are zero.
type Block = [f32; BLOCK];

/// Writes a panel of up to 64 `rows`, each of `k` numbers, into zeros.
pub(super) fn pack(cpu: Cpu, format: Format, [rows, k]: [usize; 2], read: Read, panel: &mut [u8]) {
    let (numbers, notes) = panel.split_at_mut(format.numbers(k));
    let (numbers, multipliers) = numbers.split_at_mut(format.padded(k) * COLUMNS / per_byte(format));
    let (notes, _) = notes.as_chunks_mut::<4>();
    let (scales, sums) = notes.split_at_mut(notes.len() / 2);
    let mut steps = [[0; BLOCK]; COLUMNS];
    for (number, numbers) in numbers.chunks_mut(BLOCK * COLUMNS / per_byte(format)).enumerate() {
        let places = number * BLOCK..k.min((number + 1) * BLOCK);
        for (row, steps) in steps[..rows].iter_mut().enumerate() {
            let mut block = [0.0; BLOCK];
            read(row, places.clone(), &mut block[..places.len()]);
            let (scale, sum) = if format == Format::Int8 {
                run(cpu.vectors, Quantize(&block, steps))
            } else {
                let mut of_parts = [0; BLOCK / PART];
                let quantized = run(cpu.vectors, QuantizeTwice(&block, steps, &mut of_parts));
                let multipliers = multipliers.chunks_exact_mut(COLUMNS).skip(number * of_parts.len());
                multipliers.zip(of_parts).for_each(|(columns, multiplier)| columns[row] = multiplier.cast_unsigned());
                quantized
            };
            scales[number * COLUMNS + row] = scale.to_le_bytes();
            sums[number * COLUMNS + row] = (scale * whole(sum)).to_le_bytes();
        }
        interleave(&steps[..rows], numbers);
    }
}

fn per_byte(format: Format) -> usize {
    if format == Format::Int4 { 2 } else { 1 }
}

/// Rows → `[quads, 64, 4]`.
fn interleave(rows: &[[u8; BLOCK]], numbers: &mut [u8]) {
    let (numbers, _) = numbers.as_chunks_mut::<QUAD>();
    for (quad, columns) in numbers.chunks_exact_mut(COLUMNS).enumerate() {
        for (column, row) in columns.iter_mut().zip(rows) {
            *column = row.as_chunks().0[quad];
        }
    }
}

/// A block as -127 ..= 127: what one stands for, and the sum of all.
struct Quantize<'a>(&'a Block, &'a mut [u8; BLOCK]);

impl Kernel for Quantize<'_> {
    type Output = (f32, i32);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (f32, i32) {
        let Self(block, steps) = self;
        let largest = largest(block);
        let to_steps = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        for (step, &number) in steps.iter_mut().zip(block) {
            *step = rounded(number * to_steps);
        }
        (largest / 127.0, sum(steps))
    }
}

/// A block as -8 ..= 7, two a byte, times a multiplier for each part: what one stands for, and the sum of all.
struct QuantizeTwice<'a>(&'a Block, &'a mut [u8; BLOCK], &'a mut [i8; BLOCK / PART]);

impl Kernel for QuantizeTwice<'_> {
    type Output = (f32, i32);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (f32, i32) {
        let Self(block, bytes, multipliers) = self;
        let (parts, _) = block.as_chunks::<PART>();
        let mut extremes = [0.0; BLOCK / PART];
        for (extreme, part) in extremes.iter_mut().zip(parts) {
            *extreme = farthest(simd, part);
        }
        let one = largest(&extremes) / (8.0 * MOST);
        let to_ones = inverse(8.0 * one);
        let mut steps = [0; BLOCK];
        let mut total = 0;
        let each = parts.iter().zip(steps.as_chunks_mut::<PART>().0).zip(extremes);
        for (((part, steps), extreme), multiplier) in each.zip(multipliers) {
            let needed = -extreme * to_ones;
            let best = best_multiplier(simd, part, one, needed);
            let to_steps = inverse(best * one);
            for (step, &number) in steps.iter_mut().zip(part) {
                *step = rounded((number * to_steps).clamp(-8.0, 7.0));
            }
            *multiplier = rounded(best).cast_signed();
            total += sum(steps) * i32::from(*multiplier);
        }
        for (bytes, steps) in bytes.as_chunks_mut::<QUAD>().0.iter_mut().zip(steps.as_chunks::<{ 2 * QUAD }>().0) {
            for (place, packed) in bytes.iter_mut().enumerate() {
                *packed = steps[place] & 15 | steps[place + QUAD] << 4;
            }
        }
        (one, total)
    }
}

/// The number that is farthest from zero.
#[inline(always)]
fn farthest<S: Simd>(simd: S, part: &[f32; PART]) -> f32 {
    let (mut above, mut below) = (simd.splat(0.0), simd.splat(0.0));
    for numbers in part.chunks_exact(S::Vector::LANES) {
        let numbers = simd.load(numbers);
        (above, below) = (numbers.at_least(above), (simd.splat(0.0) - numbers).at_least(below));
    }
    let (above, below) = (above.largest(), below.largest());
    if above > below { above } else { -below }
}

/// Of the multipliers beside the one that the farthest number of a part needs to be -8, the one that loses least.
#[inline(always)]
fn best_multiplier<S: Simd>(simd: S, part: &[f32; PART], one: f32, needed: f32) -> f32 {
    let (fewer, more) = (needed.trunc(), needed.abs().ceil().min(MOST).copysign(needed));
    if loss(simd, part, fewer * one) < loss(simd, part, more * one) { fewer } else { more }
}

/// The sum of squares of what is lost where numbers are rounded to `scale`.
#[inline(always)]
fn loss<S: Simd>(simd: S, part: &[f32; PART], scale: f32) -> f32 {
    let to_steps = simd.splat(inverse(scale));
    let (scale, whole) = (simd.splat(scale), simd.splat(NO_BITS_BEHIND_THE_POINT));
    let mut sum = simd.splat(0.0);
    for numbers in part.chunks_exact(S::Vector::LANES) {
        let numbers = simd.load(numbers);
        let steps = (numbers * to_steps).at_least(simd.splat(-8.0)).at_most(simd.splat(7.0));
        let lost = numbers - (steps + whole - whole) * scale;
        sum = lost.mul_add(lost, sum);
    }
    sum.sum()
}

#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Added to a number, it leaves nothing behind the point but rounds it to the nearest whole one.
const NO_BITS_BEHIND_THE_POINT: f32 = 12_582_912.0;

/// The nearest whole number, as the bits of one with 8: an addition, where a conversion that minds what is not finite takes five
/// instructions.
#[inline(always)]
fn rounded(number: f32) -> u8 {
    (number + NO_BITS_BEHIND_THE_POINT).to_bits().to_le_bytes()[0]
}

#[inline(always)]
fn sum(steps: &[u8]) -> i32 {
    steps.iter().map(|step| i32::from(step.cast_signed())).sum()
}

/// As integers: what is not finite is larger than all numbers.
#[inline(always)]
fn largest(numbers: &[f32]) -> f32 {
    f32::from_bits(numbers.iter().fold(0, |largest, number| (number.to_bits() & 0x7fff_ffff).max(largest)))
}

#[inline(always)]
#[expect(clippy::cast_precision_loss, reason = "sums of 128 numbers of 8 bits")]
fn whole(sum: i32) -> f32 {
    sum as f32
}

/// The numbers of a panel in 4 bits → those of one in 8.
pub(super) fn unpack(cpu: Cpu, numbers: &[u8], wide: &mut [u8]) {
    run(cpu.vectors, Unpack(numbers, wide));
}

struct Unpack<'a>(&'a [u8], &'a mut [u8]);

/// Bytes of a panel for each quad.
const WIDTH: usize = COLUMNS * QUAD;

impl Kernel for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self(numbers, wide) = self;
        let (numbers, multipliers) = numbers.split_at(wide.len() / 2);
        let parts = numbers.chunks_exact(PART / 2 * COLUMNS).zip(wide.chunks_exact_mut(PART * COLUMNS));
        for ((numbers, wide), multipliers) in parts.zip(multipliers.as_chunks::<COLUMNS>().0) {
            let mut factors = [0; WIDTH];
            for (factors, &multiplier) in factors.as_chunks_mut::<QUAD>().0.iter_mut().zip(multipliers) {
                *factors = [multiplier; QUAD];
            }
            let pairs = wide.as_chunks_mut::<{ 2 * WIDTH }>().0;
            for (bytes, pair) in numbers.as_chunks::<WIDTH>().0.iter().zip(pairs) {
                let (low, high) = pair.split_at_mut(WIDTH);
                for (((&byte, &factor), low), high) in bytes.iter().zip(&factors).zip(low).zip(high) {
                    *low = signed(byte & 15).wrapping_mul(factor);
                    *high = signed(byte >> 4).wrapping_mul(factor);
                }
            }
        }
    }
}

/// 4 bits as 8, with their sign.
#[inline(always)]
fn signed(bits: u8) -> u8 {
    (bits ^ 8).wrapping_sub(8)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{every_width, numbers};
    use super::*;

    /// Columns of a panel in 4 bits, as they are multiplied.
    fn columns(cpu: Cpu, rows: &[f32], k: usize) -> Vec<f32> {
        let format = Format::Int4;
        let mut panel = vec![0; format.panel_bytes(k)];
        format.pack(cpu, rows, k, &mut panel);
        let (packed, notes) = panel.split_at(format.numbers(k));
        let mut wide = vec![0; format.padded(k) * COLUMNS];
        unpack(cpu, packed, &mut wide);
        let scales = notes.as_chunks().0;
        let number = |row: usize, place: usize| {
            let step = wide[(place / QUAD * COLUMNS + row) * QUAD + place % QUAD].cast_signed();
            f32::from(step) * f32::from_le_bytes(scales[place / BLOCK * COLUMNS + row])
        };
        (0..rows.len()).map(|at| number(at / k, at % k)).collect()
    }

    fn lost(numbers: &[f32], rounded: &[f32]) -> f32 {
        numbers.iter().zip(rounded).map(|(number, rounded)| (number - rounded).powi(2)).sum()
    }

    /// As the simplest form of 4 bits has it: a float32 scale for each part, by which its largest number is exact.
    fn with_a_scale_each(part: &[f32]) -> Vec<f32> {
        let largest = part.iter().copied().max_by(|one, other| one.abs().total_cmp(&other.abs())).unwrap_or(0.0);
        let scale = largest / -8.0;
        part.iter().map(|number| (number / scale).round_ties_even().clamp(-8.0, 7.0) * scale).collect()
    }

    #[test]
    fn four_bits_lose_no_more_than_with_a_scale_for_each_part() {
        let k = 640;
        // Sums of several: as weights are, most are small.
        let drawn: Vec<Vec<f32>> = (0..6).map(|seed| numbers(COLUMNS * k, seed)).collect();
        let rows: Vec<f32> = (0..COLUMNS * k).map(|at| drawn.iter().map(|numbers| numbers[at]).sum()).collect();
        let simple: Vec<f32> = rows.chunks(PART).flat_map(with_a_scale_each).collect();
        for cpu in every_width() {
            let ours = columns(cpu, &rows, k);
            assert!(lost(&rows, &ours) <= lost(&rows, &simple), "{} {}", lost(&rows, &ours), lost(&rows, &simple));
            for (block, ours) in rows.chunks(BLOCK).zip(ours.chunks(BLOCK)) {
                let largest = |numbers: &[f32]| numbers.iter().fold(0_f32, |largest, x| largest.max(x.abs()));
                assert!((largest(block) - largest(ours)).abs() <= largest(block) / 14.0);
            }
        }
    }

    #[test]
    fn the_end_of_a_row_and_rows_of_zeros_are_kept() {
        for k in [1, 31, 70, 129] {
            let mut rows = vec![0.0; 3 * k];
            rows[k..2 * k].fill(-0.25);
            for cpu in every_width() {
                assert_eq!(columns(cpu, &rows, k), rows, "{k}");
            }
        }
    }
}
