//! AMX: tiles of 16 × 16 sums, with 32 numbers along K in bfloat16 or 64 in 8 bits an instruction.
#![expect(
    unsafe_code,
    reason = "callers see to it that pointers lead to enough numbers and the processor has the instructions"
)]

use std::arch::asm;
use std::arch::x86_64::{
    _mm512_cvtepi32_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::mem::MaybeUninit;

use super::super::panels::{BLOCK, COLUMNS};
use super::super::rows::Scale;
use super::int8::Int8Tile;

/// Rows of a tile in memory: two of the processor's.
pub(super) const ROWS: usize = 32;
/// Rows and columns of a tile of the processor's.
const SIDE: usize = 16;
/// Bytes of a row of tiles in memory, and from one group of numbers along K to the next in a panel.
const ROW_BYTES: usize = COLUMNS * 4;

/// What the processor's tiles are: eight of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Gives this thread its tiles while `work` uses them.
pub(in crate::kernels) fn with_tiles<R>(work: impl FnOnce() -> R) -> R {
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly)) };
    let result = work();
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
    result
}

/// Four tiles of sums `tmm0` … `tmm3`, as wide as a panel: one tile of rows, and `$multiply` with each of four of columns.
macro_rules! one_by_four {
    ($multiply:literal, $rows:expr, $stride:expr, $panel:expr, $steps:expr, $sums:expr) => {
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{rows} + {stride}]",
            "tileloadd tmm5, [{panel} + {width}]",
            "tileloadd tmm6, [{panel} + {width} + 64]",
            concat!($multiply, " tmm0, tmm4, tmm5"),
            "tileloadd tmm7, [{panel} + {width} + 128]",
            concat!($multiply, " tmm1, tmm4, tmm6"),
            "tileloadd tmm5, [{panel} + {width} + 192]",
            concat!($multiply, " tmm2, tmm4, tmm7"),
            concat!($multiply, " tmm3, tmm4, tmm5"),
            "add {rows}, 64", "add {panel}, 4096",
            "dec {steps}", "jnz 2b",
            "tilestored [{sums} + {width}], tmm0",
            "tilestored [{sums} + {width} + 64], tmm1",
            "tilestored [{sums} + {width} + 128], tmm2",
            "tilestored [{sums} + {width} + 192], tmm3",
            rows = inout(reg) $rows => _, panel = inout(reg) $panel => _, steps = inout(reg) $steps => _,
            stride = in(reg) $stride, width = in(reg) ROW_BYTES, sums = in(reg) $sums,
            options(nostack)
        )
    };
}

/// The same with two tiles of rows, and two of columns, in a panel and sums of any width in bytes.
macro_rules! two_by_two {
    ($multiply:literal, $rows:expr, $stride:expr, ($panel:expr, $width:expr), $steps:expr, ($sums:expr, $sums_width:expr)) => {
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{rows} + {stride}]",
            "tileloadd tmm6, [{panel} + {width}]",
            "tileloadd tmm5, [{lower} + {stride}]",
            concat!($multiply, " tmm0, tmm4, tmm6"),
            "tileloadd tmm7, [{panel} + {width} + 64]",
            concat!($multiply, " tmm2, tmm5, tmm6"),
            concat!($multiply, " tmm1, tmm4, tmm7"),
            concat!($multiply, " tmm3, tmm5, tmm7"),
            "add {rows}, 64", "add {lower}, 64", "add {panel}, {step}",
            "dec {steps}", "jnz 2b",
            "tilestored [{sums} + {sums_width}], tmm0",
            "tilestored [{sums} + {sums_width} + 64], tmm1",
            "tilestored [{below} + {sums_width}], tmm2",
            "tilestored [{below} + {sums_width} + 64], tmm3",
            rows = inout(reg) $rows => _, lower = inout(reg) $rows.byte_add(SIDE * $stride) => _,
            panel = inout(reg) $panel => _, steps = inout(reg) $steps => _,
            stride = in(reg) $stride, width = in(reg) $width, step = const SIDE * $width,
            sums = in(reg) $sums, below = in(reg) $sums.byte_add(SIDE * $sums_width), sums_width = in(reg) $sums_width,
            options(nostack)
        )
    };
}

/// Products in bfloat16 of up to 32 rows, which are filled up to 16 or 32.
pub(super) unsafe fn bf16(rows: usize, values: *const u16, stride: usize, panel: *const u8, tile: *mut [f32; COLUMNS]) {
    let steps = stride / 32;
    unsafe {
        if rows <= SIDE {
            one_by_four!("tdpbf16ps", values, stride * 2, panel, steps, tile);
        } else {
            two_by_two!("tdpbf16ps", values, stride * 2, (panel, ROW_BYTES), steps, (tile, ROW_BYTES));
            two_by_two!(
                "tdpbf16ps",
                values,
                stride * 2,
                (panel.add(128), ROW_BYTES),
                steps,
                (tile.byte_add(128), ROW_BYTES)
            );
        }
    }
}

/// Products in bfloat16 of 32 rows, `stride` numbers apart, and a panel of 32 columns; sums are `sums_stride` apart.
pub(in crate::kernels) unsafe fn bf16_square(
    (rows, stride): (*const u16, usize),
    panel: *const u8,
    steps: usize,
    (sums, sums_stride): (*mut f32, usize),
) {
    unsafe { two_by_two!("tdpbf16ps", rows, stride * 2, (panel, 128_usize), steps, (sums, sums_stride * 4)) };
}

/// Products in 8 bits of up to 32 rows, which are filled up to 16 or 32.
pub(super) unsafe fn int8(rows: usize, part: Int8Tile) {
    // Not filled with zeros: that took 6 % of the time. (Prefetching the next step of a panel gained nothing.)
    let mut sums = MaybeUninit::<[[i32; COLUMNS]; ROWS]>::uninit();
    for block in 0..part.blocks {
        let start = block * BLOCK;
        let steps = BLOCK.min(part.stride - start) / 64;
        let sums_at = sums.as_mut_ptr().cast::<i32>();
        unsafe {
            let (values, panel) = (part.steps.add(start), part.panel.add(start * COLUMNS));
            if rows <= SIDE {
                one_by_four!("tdpbusd", values, part.stride, panel, steps, sums_at);
            } else {
                two_by_two!("tdpbusd", values, part.stride, (panel, ROW_BYTES), steps, (sums_at, ROW_BYTES));
                two_by_two!(
                    "tdpbusd",
                    values,
                    part.stride,
                    (panel.add(128), ROW_BYTES),
                    steps,
                    (sums_at.add(32), ROW_BYTES)
                );
            }
            scale(&part, block, rows, sums.as_ptr().cast());
        }
    }
}

/// Adds the sums of a block to the tile, by its scales; the first one begins it.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn scale(part: &Int8Tile, block: usize, rows: usize, sums: *const [i32; COLUMNS]) {
    for vector in 0..COLUMNS / 16 {
        unsafe {
            let column = block * COLUMNS + vector * 16;
            let (scale, of_weights) =
                (_mm512_loadu_ps(part.scales.add(column)), _mm512_loadu_ps(part.sums.add(column)));
            for row in 0..rows {
                let Scale { step, least } = *part.row_scales.add(row * part.blocks + block);
                let (step, least) = (_mm512_set1_ps(step), _mm512_set1_ps(least));
                let sum = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums.add(row).cast::<i32>().add(vector * 16).cast()));
                let place = (*part.tile.add(row)).as_mut_ptr().add(vector * 16);
                let before = if block == 0 { _mm512_setzero_ps() } else { _mm512_loadu_ps(place) };
                let total = _mm512_fmadd_ps(least, of_weights, before);
                _mm512_storeu_ps(place, _mm512_fmadd_ps(sum, _mm512_mul_ps(step, scale), total));
            }
        }
    }
}
