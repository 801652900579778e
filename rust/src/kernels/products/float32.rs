//! Products in float32, of panels in float32 or in 16 bits that are widened on the way: the same numbers from half the bytes.

use super::super::aligned::Aligned;
use super::super::cpu::Vectors;
use super::super::panels::{COLUMNS, Format};
use super::super::vectors::{Kernel, Simd, Vector, run};
use super::Tile;

/// Rows of a tile. Twelve by half the columns lost by half: so many rows take more registers for their places than there are.
const ROWS: usize = super::VECTOR_ROWS;
/// Up to so many rows widening in registers is no slower than widening a panel beforehand.
const FEW: usize = 48;

/// A panel, `[k, 64]`.
#[derive(Clone, Copy)]
pub(super) enum Panel<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    Bf16(&'a [u16]),
}

impl<'a> Panel<'a> {
    /// For products with so many rows: as it is, or widened beforehand.
    #[expect(unsafe_code, reason = "any bytes are numbers")]
    pub fn new(vectors: Vectors, format: Format, bytes: &'a [u8], rows: usize, widened: &'a mut Aligned<f32>) -> Self {
        let panel = unsafe {
            match format {
                Format::F16 => Self::F16(bytes.align_to().1),
                Format::Bf16 => Self::Bf16(bytes.align_to().1),
                _ => return Self::F32(bytes.align_to().1),
            }
        };
        if rows <= FEW {
            return panel;
        }
        widened.fit(bytes.len() / 2);
        run(vectors, Widen(panel, widened));
        Self::F32(widened)
    }

    /// Puts the products of up to six rows of `k` numbers into a tile.
    pub fn multiply(self, vectors: Vectors, values: &[f32], k: usize, tile: &mut Tile) {
        run(vectors, Multiply { panel: self, values, k, tile });
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
    panel: Panel<'a>,
    values: &'a [f32],
    k: usize,
    tile: &'a mut Tile,
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
        let Self { panel, values, k, tile } = self;
        match panel {
            Panel::F32(numbers) => multiply::<S, _, R, W>(simd, S::load, numbers, values, k, tile),
            Panel::F16(numbers) => multiply::<S, _, R, W>(simd, S::load_f16, numbers, values, k, tile),
            Panel::Bf16(numbers) => multiply::<S, _, R, W>(simd, S::load_bf16, numbers, values, k, tile),
        }
    }
}

/// Every sum is added up in the order of k, whatever else is in the tile.
#[inline(always)]
fn multiply<S: Simd, T, const R: usize, const W: usize>(
    simd: S,
    load: impl Fn(S, &[T]) -> S::Vector,
    panel: &[T],
    values: &[f32],
    k: usize,
    tile: &mut Tile,
) {
    let lanes = S::Vector::LANES;
    let mut rows = [&values[..0]; R];
    for (row, numbers) in rows.iter_mut().enumerate() {
        *numbers = &values[row * k..][..k];
    }
    for group in (0..COLUMNS).step_by(W * lanes) {
        let mut sums = [[simd.splat(0.0); W]; R];
        // Two at a time, by hand: half the instructions beside the products.
        let mut pairs = panel[..k * COLUMNS].chunks_exact(2 * COLUMNS);
        for (pair, columns) in pairs.by_ref().enumerate() {
            let (first, second) = columns.split_at(COLUMNS);
            add(simd, &load, &first[group..], (rows, 2 * pair), &mut sums);
            add(simd, &load, &second[group..], (rows, 2 * pair + 1), &mut sums);
        }
        if k % 2 == 1 {
            add(simd, &load, &pairs.remainder()[group..], (rows, k - 1), &mut sums);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                sum.store(&mut tile[row][group + vector * lanes..]);
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
