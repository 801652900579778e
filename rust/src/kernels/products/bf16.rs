//! Products in bfloat16, of packed panels and of a matrix as a checkpoint has it. Only processors of this kind have them.
#![expect(unsafe_code, reason = "the lengths are checked, and the processor has the instructions")]

use std::ops::Range;

use super::super::cpu::{Bf16, Cpu};
use super::super::matrix::StoredRows;
use super::super::panels::{COLUMNS, Format};
use super::super::rows::Narrowed;
use super::super::transposed::{self, Step};
use super::stored::{FAR, NEAR, steps};
use super::{Rows, Scratch, TILE_ROWS, VECTOR_ROWS, amx, avx512, tiles};

/// Multiplies all rows with a packed panel, like [`super::multiply`].
pub(super) fn multiply(
    cpu: Cpu,
    panel: &[u8],
    rows: Rows,
    tile: &mut [[f32; COLUMNS]],
    done: &mut dyn FnMut(usize, &mut [[f32; COLUMNS]]),
) {
    let Narrowed { pairs, stride, .. } = rows.narrowed;
    assert!(panel.len() >= stride * COLUMNS * 2);
    let mut each = |most: usize, kernel: unsafe fn(usize, *const u16, usize, *const u8, *mut [f32; COLUMNS])| {
        for (first, count) in tiles(rows.count, most) {
            let values = &pairs[first * stride..(first + count) * stride];
            unsafe { kernel(count, values.as_ptr(), *stride, panel.as_ptr(), tile.as_mut_ptr()) };
            done(first, &mut tile[..count]);
        }
    };
    match cpu.bf16 {
        Some(Bf16::Amx) => amx::with_tiles(|| each(amx::ROWS, amx::bf16)),
        Some(Bf16::Avx512) => each(VECTOR_ROWS, avx512::bf16),
        None => unreachable!("refused where the model is opened"),
    }
}

/// Multiplies all rows with a panel as it is stored; the sums are left in `scratch`.
pub(super) fn multiply_stored(
    cpu: Cpu,
    panel: StoredRows,
    k: usize,
    rows: Rows,
    Scratch { pairs, sums, .. }: &mut Scratch,
) {
    let padded = Format::Bf16Pairs.padded(k);
    let step = match cpu.bf16 {
        // Its kernel begins each sum anew.
        Some(Bf16::Amx) => padded,
        _ if rows.count <= TILE_ROWS => 2 * NEAR,
        _ => 2 * FAR,
    };
    let (sums, _) = sums.as_chunks_mut::<COLUMNS>();
    for places in steps(padded, step) {
        pairs.fit(places.len() * COLUMNS);
        transposed::pair(&Step { panel, k, places: places.clone() }, pairs);
        add_up(cpu, pairs, rows, &places, sums);
    }
}

/// Adds the products of some `places` to the sums of the places before.
fn add_up(cpu: Cpu, panel: &[u16], rows: Rows, places: &Range<usize>, sums: &mut [[f32; COLUMNS]]) {
    let Narrowed { pairs, stride, .. } = rows.narrowed;
    assert!(panel.len() >= places.len() * COLUMNS && places.end <= *stride, "a step of a panel");
    assert!(sums.len() >= rows.count.next_multiple_of(TILE_ROWS), "room for whole tiles");
    let mut each = |most: usize, kernel: &dyn Fn(usize, *const u16, *mut [f32; COLUMNS])| {
        for (first, count) in tiles(rows.count, most) {
            let values = &pairs[first * stride..(first + count) * stride][places.start..];
            kernel(count, values.as_ptr(), sums[first..].as_mut_ptr());
        }
    };
    let panel = panel.as_ptr().cast();
    match cpu.bf16 {
        Some(Bf16::Amx) => amx::with_tiles(|| {
            each(amx::ROWS, &|count, values, tile| unsafe { amx::bf16(count, values, *stride, panel, tile) });
        }),
        Some(Bf16::Avx512) => each(VECTOR_ROWS, &|count, values, tile| unsafe {
            let tile = (tile.cast(), COLUMNS, places.start > 0);
            avx512::bf16_step(count, (values, *stride), panel, places.len() / 2, tile);
        }),
        None => unreachable!("refused where the model is opened"),
    }
}
