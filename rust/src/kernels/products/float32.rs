//! Products in float32, of panels in float32 or in 16 bits that are widened on the way: the same numbers from half the bytes.

use super::super::cpu::Vectors;
use super::super::panels::{COLUMNS, Format};
use super::Tile;
use super::lanes::{Bf16, F16, F32, Lanes, Numbers};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// Rows of a tile.
pub(super) const ROWS: usize = 6;
/// Up to so many rows widening in registers is no slower than widening a panel beforehand.
const FEW: usize = 12;

/// A panel, as it is or widened beforehand.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    format: Format,
    bytes: &'a [u8],
    vectors: Vectors,
}

impl<'a> Panel<'a> {
    /// For products with so many rows.
    pub fn new(vectors: Vectors, format: Format, bytes: &'a [u8], rows: usize, widened: &'a mut Vec<f32>) -> Self {
        if format == Format::F32 || rows <= FEW {
            return Self { format, bytes, vectors };
        }
        widened.resize(bytes.len() / 2, 0.0);
        let panel = Self { format, bytes, vectors };
        panel.widen(widened);
        let bytes = widened.as_ptr().cast::<u8>();
        #[expect(unsafe_code, reason = "float32 numbers as the bytes that they are")]
        let bytes = unsafe { std::slice::from_raw_parts(bytes, widened.len() * 4) };
        Self { format: Format::F32, bytes, vectors }
    }

    /// Adds the products of up to [`ROWS`] rows of `k` numbers to a tile.
    #[expect(unsafe_code, reason = "the lengths are checked, and the processor has the instructions")]
    pub fn multiply(self, values: &[f32], k: usize, tile: &mut Tile) {
        let rows = values.len() / k;
        assert!(rows <= ROWS && self.bytes.len() >= k * COLUMNS * if self.format == Format::F32 { 4 } else { 2 });
        let (values, panel, tile) = (values.as_ptr(), self.bytes.as_ptr(), tile.as_mut_ptr());
        unsafe {
            match self.vectors {
                #[cfg(target_arch = "x86_64")]
                Vectors::Avx512 => avx512::float32(self.format, rows, values, panel, k, tile),
                #[cfg(target_arch = "x86_64")]
                Vectors::Avx2 => avx2::float32(self.format, rows, values, panel, k, tile),
                _ => multiply::<[f32; 4], 4>(self.format, rows, values, panel, k, tile),
            }
        }
    }

    #[expect(unsafe_code, reason = "`wide` has room for all numbers, and the processor has the instructions")]
    fn widen(self, wide: &mut [f32]) {
        unsafe {
            match self.vectors {
                #[cfg(target_arch = "x86_64")]
                Vectors::Avx512 => avx512::widen(self.format, self.bytes, wide),
                #[cfg(target_arch = "x86_64")]
                Vectors::Avx2 => avx2::widen(self.format, self.bytes, wide),
                _ => widen::<[f32; 4]>(self.format, self.bytes, wide),
            }
        }
    }
}

/// [`Panel::multiply`] with vectors `V`, `C` of them beside each other.
///
/// # Safety
/// Every pointer leads to as many numbers as the sizes say; the processor has the instructions of `V`.
#[inline(always)]
#[expect(unsafe_code, clippy::inline_always, reason = "compiled for the instructions of who calls it")]
pub(super) unsafe fn multiply<V: Lanes, const C: usize>(
    format: Format,
    rows: usize,
    values: *const f32,
    panel: *const u8,
    k: usize,
    tile: *mut [f32; COLUMNS],
) {
    unsafe {
        match format {
            Format::F32 => by_rows::<V, F32, C>(rows, values, panel, k, tile),
            Format::F16 => by_rows::<V, F16, C>(rows, values, panel, k, tile),
            _ => by_rows::<V, Bf16, C>(rows, values, panel, k, tile),
        }
    }
}

#[inline(always)]
#[expect(unsafe_code, clippy::inline_always, reason = "as above")]
unsafe fn by_rows<V: Lanes, N: Numbers, const C: usize>(
    rows: usize,
    values: *const f32,
    panel: *const u8,
    k: usize,
    tile: *mut [f32; COLUMNS],
) {
    unsafe {
        match rows {
            1 => multiply_tile::<V, N, 1, C>(values, panel, k, tile),
            2 => multiply_tile::<V, N, 2, C>(values, panel, k, tile),
            3 => multiply_tile::<V, N, 3, C>(values, panel, k, tile),
            4 => multiply_tile::<V, N, 4, C>(values, panel, k, tile),
            5 => multiply_tile::<V, N, 5, C>(values, panel, k, tile),
            _ => multiply_tile::<V, N, 6, C>(values, panel, k, tile),
        }
    }
}

#[inline(always)]
#[expect(unsafe_code, clippy::inline_always, reason = "as above")]
unsafe fn multiply_tile<V: Lanes, N: Numbers, const R: usize, const C: usize>(
    values: *const f32,
    panel: *const u8,
    k: usize,
    tile: *mut [f32; COLUMNS],
) {
    for group in (0..COLUMNS).step_by(C * V::COUNT) {
        unsafe {
            let place = |row: usize, column: usize| tile.cast::<f32>().add(row * COLUMNS + group + column * V::COUNT);
            let mut sums = [[V::all(0.0); C]; R];
            for step in 0..k {
                let mut weights = [V::all(0.0); C];
                for (column, weight) in weights.iter_mut().enumerate() {
                    *weight = N::load(panel, step * COLUMNS + group + column * V::COUNT);
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let value = V::all(*values.add(row * k + step));
                    for (sum, &weight) in sums.iter_mut().zip(&weights) {
                        *sum = value.times_plus(weight, *sum);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                for (column, sum) in sums.iter().enumerate() {
                    sum.store(place(row, column));
                }
            }
        }
    }
}

/// Numbers in 16 bits as float32.
///
/// # Safety
/// `wide` has room for all numbers; the processor has the instructions of `V`.
#[inline(always)]
#[expect(unsafe_code, clippy::inline_always, reason = "as above")]
pub(super) unsafe fn widen<V: Lanes>(format: Format, bytes: &[u8], wide: &mut [f32]) {
    for place in (0..wide.len()).step_by(V::COUNT) {
        unsafe {
            let numbers: V = if format == Format::F16 {
                F16::load(bytes.as_ptr(), place)
            } else {
                Bf16::load(bytes.as_ptr(), place)
            };
            numbers.store(wide.as_mut_ptr().add(place));
        }
    }
}
