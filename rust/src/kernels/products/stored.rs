//! Products with a matrix as a checkpoint has it. Its rows become columns a step along K at a time, in memory that stays in the cache.

use std::ops::Range;

use super::super::cpu::Cpu;
use super::super::matrix::{Stored, StoredRows};
use super::super::panels::COLUMNS;
use super::super::transposed::{self, Step};
use super::{Rows, Scratch, TILE_ROWS, VECTOR_ROWS, float32, tiles};

/// Numbers along K of a step: with few rows what the nearest cache holds, with many what the next one does.
pub(super) const NEAR: usize = 128;
pub(super) const FAR: usize = 512;

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
        #[cfg(target_arch = "x86_64")]
        super::bf16::multiply_stored(cpu, panel, k, rows, scratch);
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("refused where the model is opened");
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

pub(super) fn steps(k: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..k).step_by(step).map(move |first| first..k.min(first + step))
}
