//! Rotary positions: the numbers of a head by two, turned by an angle that grows with the token's place in its text.

use std::sync::{Arc, PoisonError, RwLock};

use super::vectors::{Simd, Vector};

/// Positions whose angles are computed together.
const POSITIONS: usize = 256;

/// Cosines and sines of all positions that were asked for so far; layers share it. Angles are rounded where torch rounds them.
pub struct RotaryTable {
    /// What the angle grows by from token to token, for each two numbers of a head.
    inverse: Vec<f32>,
    /// `[positions, cosines and then sines]` each.
    blocks: RwLock<Vec<Arc<[f32]>>>,
}

/// What the angle grows by from token to token, for each two numbers of a head of `size`: see [`RotaryTable::new`].
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "rounded where torch rounds")]
pub fn inverse_lengths(size: usize, theta: f64, factor: f64) -> Vec<f32> {
    let exponent = |pair: usize| (2 * pair) as f32 / size as f32;
    let inverse = |pair: usize| 1.0 / theta.powf(f64::from(exponent(pair))) as f32 / factor as f32;
    (0..size / 2).map(inverse).collect()
}

/// The cosines and sines of the first positions.
pub(super) struct Rotary {
    half: usize,
    blocks: Vec<Arc<[f32]>>,
}

impl RotaryTable {
    /// For heads of `size` numbers, whose first two are turned by one radian a token and the others slower, by powers of `theta`; all by
    /// `factor` slower than that.
    ///
    /// # Panics
    /// Where `size` is odd.
    #[must_use]
    pub fn new(size: usize, theta: f64, factor: f64) -> Self {
        assert!(size > 0 && size.is_multiple_of(2), "two halves of a head");
        Self { inverse: inverse_lengths(size, theta, factor), blocks: RwLock::default() }
    }

    /// Numbers of a head.
    pub(super) fn size(&self) -> usize {
        2 * self.inverse.len()
    }

    /// Those of the first `positions`.
    pub(super) fn first(&self, positions: usize) -> Rotary {
        let (half, count) = (self.inverse.len(), positions.div_ceil(POSITIONS));
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(blocks) = blocks.get(..count) {
            return Rotary { half, blocks: blocks.to_vec() };
        }
        drop(blocks);
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        for block in blocks.len()..count {
            blocks.push(self.block(block));
        }
        Rotary { half, blocks: blocks[..count].to_vec() }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "rounded where torch rounds")]
    fn block(&self, block: usize) -> Arc<[f32]> {
        let positions = block * POSITIONS..(block + 1) * POSITIONS;
        let angles = |position: usize| self.inverse.iter().map(move |inverse| f64::from(position as f32 * inverse));
        let row = |position| angles(position).map(f64::cos).chain(angles(position).map(f64::sin));
        positions.flat_map(row).map(|number| number as f32).collect()
    }
}

impl Rotary {
    /// Cosines and sines of a position, a half of a head each.
    #[inline(always)]
    fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let row = position % POSITIONS * 2 * self.half;
        self.blocks[position / POSITIONS][row..row + 2 * self.half].split_at(self.half)
    }

    /// Turns a head's numbers at `position`, and multiplies them by `factor`.
    #[inline(always)]
    pub(super) fn turn<S: Simd>(&self, simd: S, numbers: &[f32], position: usize, factor: f32, out: &mut [f32]) {
        let (cosines, sines) = self.at(position);
        let (first, second) = numbers.split_at(self.half);
        let (out_first, out_second) = out.split_at_mut(self.half);
        let (lanes, factor) = (S::Vector::LANES, simd.splat(factor));
        let full = self.half / lanes * lanes;
        for at in (0..full).step_by(lanes) {
            let (x, y) = (simd.load(&first[at..]), simd.load(&second[at..]));
            let (cosine, sine) = (simd.load(&cosines[at..]), simd.load(&sines[at..]));
            ((x * cosine - y * sine) * factor).store(&mut out_first[at..]);
            ((y * cosine + x * sine) * factor).store(&mut out_second[at..]);
        }
        if full < self.half {
            let (x, y) = (simd.load_part(&first[full..]), simd.load_part(&second[full..]));
            let (cosine, sine) = (simd.load_part(&cosines[full..]), simd.load_part(&sines[full..]));
            ((x * cosine - y * sine) * factor).store_part(&mut out_first[full..]);
            ((y * cosine + x * sine) * factor).store_part(&mut out_second[full..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_rounded_where_torch_rounds_them() {
        let table = RotaryTable::new(64, 10_000.0, 1.0);
        let rotary = table.first(8_193);
        // float32(10,000^(18/64)) = 13.335215, whose inverse is 0.074989416; times 8,191 it is 614.23834.
        let (cosines, sines) = rotary.at(8_191);
        let angle = f64::from(8_191.0_f32 * 0.074_989_416_f32);
        assert!((f64::from(cosines[9]) - angle.cos()).abs() < 1e-7 && (f64::from(sines[9]) - angle.sin()).abs() < 1e-7);
        assert!((angle - 8_191.0 / 10_000_f64.powf(18.0 / 64.0)).abs() > 1e-6, "rounding matters");
    }

    #[test]
    fn no_more_positions_are_computed_than_asked_for() {
        let table = RotaryTable::new(8, 10_000.0, 4.0);
        assert_eq!(table.first(0).blocks.len(), 0);
        assert_eq!(table.first(POSITIONS + 1).blocks.len(), 2);
        assert_eq!(table.first(3).blocks.len(), 1);
        let (one, two) = (table.first(9), table.first(700));
        assert!(Arc::ptr_eq(&one.blocks[0], &two.blocks[0]));
        let unscaled = RotaryTable::new(8, 10_000.0, 1.0).first(2);
        assert_eq!(two.at(4).0[0].to_bits(), unscaled.at(1).0[0].to_bits());
    }
}
