//! Keys and values of one head in the order in which tiles take them.

use std::array::from_fn;
use std::ops::Range;

use super::Rows;

/// Rows and columns that are transposed at a time.
pub(super) const SQUARE: usize = 4;
/// Numbers in a line of the processor's cache.
pub(super) const LINE: usize = 16;

/// Rows of one head: `size` numbers of each from `column` on.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) column: usize,
    pub(super) size: usize,
}

impl<'a> Columns<'a> {
    #[inline(always)]
    pub(super) fn row(self, row: usize) -> &'a [f32] {
        &self.rows.numbers[row * self.rows.stride + self.column..][..self.size]
    }
}

/// Writes `keys` in panels of `panel` keys, `[size, panel]` each. In the last one, up to a whole vector of `lanes`, the last key
/// stands again; what lies behind is not written.
#[inline(always)]
pub(super) fn pack_keys(columns: Columns, keys: Range<usize>, (panel, lanes): (usize, usize), out: &mut [f32]) {
    for (out, first) in out.chunks_exact_mut(columns.size * panel).zip(keys.clone().step_by(panel)) {
        let count = panel.min((keys.end - first).next_multiple_of(lanes));
        for place in (0..count).step_by(SQUARE) {
            transpose(from_fn(|next| columns.row((first + place + next).min(keys.end - 1))), &mut out[place..], panel);
        }
    }
}

/// Writes `values` in rows of `width` numbers, with zeros behind.
#[inline(always)]
pub(super) fn pack_values(columns: Columns, values: Range<usize>, width: usize, out: &mut [f32]) {
    for (out, value) in out.chunks_exact_mut(width).zip(values) {
        out[..columns.size].copy_from_slice(columns.row(value));
        out[columns.size..].fill(0.0);
    }
}

/// Slices of `sizes` in `scratch`, which grows where it must, each from the beginning of a line of the cache on.
#[inline(always)]
pub(super) fn aligned<T: Copy + Default, const N: usize>(scratch: &mut Vec<T>, sizes: [usize; N]) -> [&mut [T]; N] {
    let line = LINE * size_of::<f32>() / size_of::<T>();
    let needed = sizes.iter().map(|size| size.next_multiple_of(line)).sum::<usize>() + line;
    if scratch.len() < needed {
        scratch.resize(needed, T::default());
    }
    let offset = scratch.as_ptr().align_offset(line * size_of::<T>()).min(line);
    let mut rest = &mut scratch[offset..];
    sizes.map(|size| {
        let (slice, behind) = std::mem::take(&mut rest).split_at_mut(size.next_multiple_of(line));
        rest = behind;
        &mut slice[..size]
    })
}

/// Writes the numbers of `rows` as columns, the rows of `out` being `stride` apart.
#[inline(always)]
pub(super) fn transpose(rows: [&[f32]; SQUARE], out: &mut [f32], stride: usize) {
    let full = rows[0].len() / SQUARE * SQUARE;
    for at in (0..full).step_by(SQUARE) {
        let square: [[f32; SQUARE]; SQUARE] = from_fn(|row| from_fn(|column| rows[row][at..at + SQUARE][column]));
        for column in 0..SQUARE {
            let numbers: [f32; SQUARE] = from_fn(|row| square[row][column]);
            out[(at + column) * stride..][..SQUARE].copy_from_slice(&numbers);
        }
    }
    for at in full..rows[0].len() {
        let numbers: [f32; SQUARE] = from_fn(|row| rows[row][at]);
        out[at * stride..][..SQUARE].copy_from_slice(&numbers);
    }
}
