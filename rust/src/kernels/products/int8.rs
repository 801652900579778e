//! Products in 8 bits: integers within a block along K, which are exact, and float32 from block to block. All kernels give the
//! same numbers.

use super::super::cpu::{Cpu, Int8};
use super::super::panels::{BLOCK, COLUMNS};
use super::super::rows::Scale;
#[cfg(target_arch = "x86_64")]
use super::{amx, avx2, avx512};

/// Some rows, a panel, and the tile that their products go to. Numbers of a row stand for their least and steps above it; the least is
/// multiplied with the sums of the weights.
#[derive(Clone, Copy)]
pub(super) struct Int8Tile {
    /// `[rows, stride]`.
    pub steps: *const u8,
    /// The same in 16 bits, for AVX2.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no other kernel reads them"))]
    pub wide_steps: *const i16,
    /// `[rows, blocks]`.
    pub row_scales: *const Scale,
    pub stride: usize,
    pub blocks: usize,
    /// `[stride / 4, 64, 4]`.
    pub panel: *const u8,
    /// `[blocks, 64]`.
    pub scales: *const f32,
    /// `[blocks, 64]`, each the sum of a block's weights.
    pub sums: *const f32,
    pub tile: *mut [f32; COLUMNS],
}

impl Int8Tile {
    /// The groups of four along K that belong to a block.
    pub fn quads(&self, block: usize) -> std::ops::Range<usize> {
        block * BLOCK / 4..self.stride.min((block + 1) * BLOCK) / 4
    }

    /// Writes the products of so many rows to the tile.
    ///
    /// # Safety
    /// Every pointer leads to as many numbers as the sizes say, and `rows` is not more than the kernel takes.
    #[expect(unsafe_code, reason = "the processor has the instructions")]
    pub unsafe fn multiply(self, cpu: Cpu, rows: usize) {
        unsafe {
            match cpu.int8 {
                #[cfg(target_arch = "x86_64")]
                Int8::Amx => amx::int8(rows, self),
                #[cfg(target_arch = "x86_64")]
                Int8::Avx512Vnni => avx512::int8(rows, self),
                #[cfg(target_arch = "x86_64")]
                Int8::AvxVnni => avx2::int8_vnni(rows, self),
                #[cfg(target_arch = "x86_64")]
                Int8::Avx2 => avx2::int8(rows, self),
                #[cfg(not(target_arch = "x86_64"))]
                Int8::Amx | Int8::Avx512Vnni | Int8::AvxVnni | Int8::Avx2 => {
                    unreachable!("no other processor has them")
                }
                Int8::Portable => (0..rows).for_each(|row| self.multiply_row(row)),
            }
        }
    }

    #[expect(unsafe_code, clippy::cast_precision_loss, reason = "by the caller; sums of a block are below 2²⁴")]
    unsafe fn multiply_row(self, row: usize) {
        unsafe { *self.tile.add(row) = [0.0; COLUMNS] };
        for block in 0..self.blocks {
            let mut sums = [0_i32; COLUMNS];
            unsafe {
                for quad in self.quads(block) {
                    let steps: [u8; 4] = *self.steps.add(row * self.stride + quad * 4).cast();
                    let columns: &[[i8; 4]; COLUMNS] = &*self.panel.add(quad * 4 * COLUMNS).cast();
                    for (sum, weights) in sums.iter_mut().zip(columns) {
                        let products =
                            steps.iter().zip(weights).map(|(&step, &weight)| i32::from(step) * i32::from(weight));
                        *sum += products.sum::<i32>();
                    }
                }
                let Scale { step, least } = *self.row_scales.add(row * self.blocks + block);
                let scales = std::slice::from_raw_parts(self.scales.add(block * COLUMNS), COLUMNS);
                let of_weights = std::slice::from_raw_parts(self.sums.add(block * COLUMNS), COLUMNS);
                let totals = (*self.tile.add(row)).iter_mut().zip(sums);
                for ((total, sum), (scale, of_weights)) in totals.zip(scales.iter().zip(of_weights)) {
                    *total += least * of_weights;
                    *total += sum as f32 * (step * scale);
                }
            }
        }
    }
}
