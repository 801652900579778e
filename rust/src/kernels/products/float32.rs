//! Products in float32, of panels in float32 or in 16 bits that are widened on the way: the same numbers from half the bytes.

use std::ops::Range;

use super::super::aligned::Aligned;
use super::super::cpu::Vectors;
use super::super::panels::{COLUMNS, Format};
use super::super::vectors::{Kernel, Simd, Vector, run};

/// Rows of a tile. Twelve by half the columns lost by half: so many rows take more registers for their places than there are.
const ROWS: usize = super::VECTOR_ROWS;
/// Up to so many rows widening in registers is no slower than widening a panel beforehand.
pub(super) const FEW: usize = super::TILE_ROWS;
/// Numbers along K that few rows are multiplied with at a time: of a panel, what the nearest cache holds.
const STEP: usize = 64;

/// Bytes of a line of the processor's cache.
const LINE: usize = 64;
/// Lines that are asked for with each two numbers along K.
const LINES_A_PAIR: usize = 2;

/// A panel, `[k, 64]`.
#[derive(Clone, Copy)]
pub(super) enum Panel<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    Bf16(&'a [u16]),
}

impl<'a> Panel<'a> {
    /// For products with many rows: widened beforehand.
    pub fn new(vectors: Vectors, format: Format, bytes: &'a [u8], widened: &'a mut Aligned<f32>) -> Self {
        let panel = Self::stored(format, bytes);
        if format == Format::F32 {
            return panel;
        }
        widened.fit(bytes.len() / 2);
        run(vectors, Widen(panel, widened));
        Self::F32(widened)
    }

    #[expect(unsafe_code, reason = "any bytes are numbers")]
    fn stored(format: Format, bytes: &'a [u8]) -> Self {
        unsafe {
            match format {
                Format::F16 => Self::F16(bytes.align_to().1),
                Format::Bf16 => Self::Bf16(bytes.align_to().1),
                _ => Self::F32(bytes.align_to().1),
            }
        }
    }

    /// Puts the products of up to six rows of `k` numbers into a tile.
    pub fn multiply(self, vectors: Vectors, values: &[f32], k: usize, tile: &mut [[f32; COLUMNS]]) {
        run(vectors, Multiply { panel: self, values, k, places: 0..k, ahead: &[], tile });
    }

    /// What of a panel belongs to some places along K.
    #[inline(always)]
    fn step(self, places: &Range<usize>) -> Self {
        let numbers = places.start * COLUMNS..places.end * COLUMNS;
        match self {
            Self::F32(panel) => Self::F32(&panel[numbers]),
            Self::F16(panel) => Self::F16(&panel[numbers]),
            Self::Bf16(panel) => Self::Bf16(&panel[numbers]),
        }
    }
}

/// Adds the products of some `places` of up to six rows of `k` numbers, and of a panel of those places, to the sums of the places before.
pub(super) fn add_up(
    vectors: Vectors,
    panel: &[f32],
    (values, k): (&[f32], usize),
    places: Range<usize>,
    tile: &mut [[f32; COLUMNS]],
) {
    run(vectors, Multiply { panel: Panel::F32(panel), values, k, places, ahead: &[], tile });
}

/// Multiplies few rows with a panel that comes from memory, the first of `bytes`: a step of it with all rows, then the next one, which
/// is on its way meanwhile. A panel at a time with six rows after the other waited for memory first and computed then: 0.76 × for a
/// query of 24 tokens where weights do not fit into the cache.
pub(super) fn multiply_few(
    vectors: Vectors,
    format: Format,
    bytes: &[u8],
    (values, k): (&[f32], usize),
    sums: &mut [[f32; COLUMNS]],
) {
    let numbers = k * COLUMNS * if format == Format::F32 { 4 } else { 2 };
    let panel = Panel::stored(format, &bytes[..numbers]);
    let step = numbers / k * STEP;
    let parts = sums.len().div_ceil(ROWS);
    for (number, first) in (0..k).step_by(STEP).enumerate() {
        let places = first..k.min(first + STEP);
        let ahead = bytes.get((number + 1) * step..).unwrap_or_default();
        let ahead = &ahead[..step.min(ahead.len())];
        for (part, (first, count)) in super::tiles(sums.len(), ROWS).enumerate() {
            let share = ahead.len().div_ceil(parts);
            let ahead = ahead.chunks(share.max(1)).nth(part).unwrap_or_default();
            let (values, tile) = (&values[first * k..(first + count) * k], &mut sums[first..first + count]);
            run(vectors, Multiply { panel: panel.step(&places), values, k, places: places.clone(), ahead, tile });
        }
    }
}

struct Widen<'a>(Panel<'a>, &'a mut [f32]);

impl Kernel for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self(panel, wide) = self;
        let lanes = S::Vector::LANES;
        for (vector, wide) in wide.chunks_exact_mut(lanes).enumerate() {
            let numbers = match panel {
                Panel::F32(numbers) => simd.load(&numbers[vector * lanes..]),
                Panel::F16(numbers) => simd.load_f16(&numbers[vector * lanes..]),
                Panel::Bf16(numbers) => simd.load_bf16(&numbers[vector * lanes..]),
            };
            numbers.store(wide);
        }
    }
}

struct Multiply<'a> {
    /// Of the places that are multiplied.
    panel: Panel<'a>,
    values: &'a [f32],
    k: usize,
    /// Along K, those that are multiplied.
    places: Range<usize>,
    /// What will be read next.
    ahead: &'a [u8],
    /// The sums of the places before.
    tile: &'a mut [[f32; COLUMNS]],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        // As many sums as fit into registers beside what is multiplied.
        if S::Vector::REGISTERS >= 32 { self.by_width::<S, 4>(simd) } else { self.by_width::<S, 2>(simd) }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn by_width<S: Simd, const W: usize>(self, simd: S) {
        match self.values.len() / self.k {
            1 => self.by_size::<S, 1, W>(simd),
            2 => self.by_size::<S, 2, W>(simd),
            3 => self.by_size::<S, 3, W>(simd),
            4 => self.by_size::<S, 4, W>(simd),
            5 => self.by_size::<S, 5, W>(simd),
            _ => self.by_size::<S, ROWS, W>(simd),
        }
    }

    #[inline(always)]
    fn by_size<S: Simd, const R: usize, const W: usize>(self, simd: S) {
        match self.panel {
            Panel::F32(numbers) => self.add_up::<S, _, R, W>(simd, S::load, numbers),
            Panel::F16(numbers) => self.add_up::<S, _, R, W>(simd, S::load_f16, numbers),
            Panel::Bf16(numbers) => self.add_up::<S, _, R, W>(simd, S::load_bf16, numbers),
        }
    }

    /// Every sum is added up in the order of k, whatever else is in the tile.
    #[inline(always)]
    fn add_up<S: Simd, T, const R: usize, const W: usize>(
        self,
        simd: S,
        load: impl Fn(S, &[T]) -> S::Vector,
        panel: &[T],
    ) {
        let Self { values, k, places, ahead, tile, .. } = self;
        let lanes = S::Vector::LANES;
        let mut rows = [&values[..0]; R];
        for (row, numbers) in rows.iter_mut().enumerate() {
            *numbers = &values[row * k..][places.clone()];
        }
        let panel = &panel[..places.len() * COLUMNS];
        let mut ahead = ahead.chunks(LINE);
        for group in (0..COLUMNS).step_by(W * lanes) {
            let mut sums = [[simd.splat(0.0); W]; R];
            if places.start > 0 {
                for (sums, tile) in sums.iter_mut().zip(tile.iter()) {
                    for (vector, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.load(&tile[group + vector * lanes..]);
                    }
                }
            }
            // Two at a time, by hand: half the instructions beside the products.
            let mut pairs = panel.chunks_exact(2 * COLUMNS);
            for (pair, columns) in pairs.by_ref().enumerate() {
                for line in ahead.by_ref().take(LINES_A_PAIR) {
                    simd.prefetch(line);
                }
                let (first, second) = columns.split_at(COLUMNS);
                add(simd, &load, &first[group..], (rows, 2 * pair), &mut sums);
                add(simd, &load, &second[group..], (rows, 2 * pair + 1), &mut sums);
            }
            if let Some(last) = pairs.remainder().get(group..).filter(|last| !last.is_empty()) {
                add(simd, &load, last, (rows, rows[0].len() - 1), &mut sums);
            }
            for (sums, tile) in sums.iter().zip(tile.iter_mut()) {
                for (vector, sum) in sums.iter().enumerate() {
                    sum.store(&mut tile[group + vector * lanes..]);
                }
            }
        }
    }
}

/// Adds the products of number `place` of each row with `W` vectors of `columns`.
#[inline(always)]
fn add<S: Simd, T, const R: usize, const W: usize>(
    simd: S,
    load: &impl Fn(S, &[T]) -> S::Vector,
    columns: &[T],
    (rows, place): ([&[f32]; R], usize),
    sums: &mut [[S::Vector; W]; R],
) {
    let columns = &columns[..W * S::Vector::LANES];
    let mut weights = [simd.splat(0.0); W];
    for (vector, weight) in weights.iter_mut().enumerate() {
        *weight = load(simd, &columns[vector * S::Vector::LANES..]);
    }
    for (row, sums) in rows.iter().zip(sums) {
        let value = simd.splat(row[place]);
        for (sum, &weight) in sums.iter_mut().zip(&weights) {
            *sum = weight.mul_add(value, *sum);
        }
    }
}
