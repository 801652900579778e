//! Products with a matrix as a checkpoint has it. Its rows become columns a step along K at a time, in memory that stays in the cache.

use std::ops::Range;

use super::super::cpu::{Bf16, Cpu};
use super::super::matrix::{Stored, StoredRows};
use super::super::panels::{COLUMNS, Format};
use super::super::rows::Narrowed;
use super::super::transposed::{self, Step};
use super::{Rows, Scratch, TILE_ROWS, VECTOR_ROWS, float32, tiles};
#[cfg(target_arch = "x86_64")]
use super::{amx, avx512};

/// Numbers along K of a step: with few rows what the nearest cache holds, with many what the next one does.
const NEAR: usize = 128;
const FAR: usize = 512;

/// Multiplies all rows with panel `number`, like [`super::multiply`].
pub(super) fn multiply(
    cpu: Cpu,
    stored: Stored,
    number: usize,
    rows: Rows,
    scratch: &mut Scratch,
    done: &mut dyn FnMut(usize, &mut [[f32; COLUMNS]]),
) {
    let (panel, k) = (stored.panel(number), stored.k());
    scratch.sums.fit(rows.count.next_multiple_of(TILE_ROWS) * COLUMNS);
    if stored.is_exact() {
        multiply_float32(cpu, panel, k, rows, scratch);
    } else {
        multiply_bf16(cpu, panel, k, rows, scratch);
    }
    let (sums, _) = scratch.sums.as_chunks_mut::<COLUMNS>();
    for (first, count) in tiles(rows.count, TILE_ROWS) {
        done(first, &mut sums[first..first + count]);
    }
}

fn multiply_float32(cpu: Cpu, panel: StoredRows, k: usize, rows: Rows, Scratch { widened, sums, .. }: &mut Scratch) {
    let step = if rows.count <= TILE_ROWS { NEAR } else { FAR };
    let (sums, _) = sums.as_chunks_mut::<COLUMNS>();
    widened.fit(step.min(k) * COLUMNS);
    for places in steps(k, step) {
        let widened = &mut widened[..places.len() * COLUMNS];
        transposed::widen(cpu.vectors, &Step { panel, k, places: places.clone() }, widened);
        for (first, count) in tiles(rows.count, VECTOR_ROWS) {
            let values = &rows.values[first * k..][..count * k];
            float32::add_up(cpu.vectors, widened, (values, k), places.clone(), &mut sums[first..first + count]);
        }
    }
}

fn multiply_bf16(cpu: Cpu, panel: StoredRows, k: usize, rows: Rows, Scratch { pairs, sums, .. }: &mut Scratch) {
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
        add_up_bf16(cpu, pairs, rows, &places, sums);
    }
}

/// Adds the products of some `places` to the sums of the places before.
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the lengths are checked, and the processor has the instructions")
)]
fn add_up_bf16(cpu: Cpu, panel: &[u16], rows: Rows, places: &Range<usize>, sums: &mut [[f32; COLUMNS]]) {
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
        #[cfg(target_arch = "x86_64")]
        Some(Bf16::Amx) => amx::with_tiles(|| {
            each(amx::ROWS, &|count, values, tile| unsafe { amx::bf16(count, values, *stride, panel, tile) });
        }),
        #[cfg(target_arch = "x86_64")]
        Some(Bf16::Avx512) => each(VECTOR_ROWS, &|count, values, tile| unsafe {
            let tile = (tile.cast(), COLUMNS, places.start > 0);
            avx512::bf16_step(count, (values, *stride), panel, places.len() / 2, tile);
        }),
        _ => unreachable!("refused where the model is opened"),
    }
}

fn steps(k: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..k).step_by(step).map(move |first| first..k.min(first + step))
}
