//! Products of rows and one panel, a kernel for each kind of instructions. A row's sums depend on nothing but that row and the
//! panel: not on how many rows there are, nor on which of them share a tile.

#[cfg(target_arch = "x86_64")]
pub(super) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod float32;
mod int8;
mod stored;

use self::int8::Int8Tile;
use super::aligned::Aligned;
use super::cpu::{Cpu, Int8};
use super::matrix::Matrix;
use super::panels::{BLOCK, COLUMNS, Format, Panels};
use super::quantized;
use super::rows::Narrowed;

/// Most rows of a tile, and of those whose sums are kept at a time.
const TILE_ROWS: usize = 48;
/// Rows that the vector kernels take at once.
const VECTOR_ROWS: usize = 6;

/// What products with a panel need beside it. It is kept, and not filled with zeros for each panel.
#[derive(Default)]
pub(super) struct Scratch {
    /// The panel in float32.
    widened: Aligned<f32>,
    /// The same in bfloat16.
    #[cfg(target_arch = "x86_64")]
    pairs: Aligned<u16>,
    /// The same in 8 bits.
    unpacked: Aligned<u8>,
    /// Sums of some rows and the columns of the panel.
    sums: Aligned<f32>,
}

/// The rows of a product: as they came in, and narrowed for the panels.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub count: usize,
    pub values: &'a [f32],
    pub narrowed: &'a Narrowed,
}

/// Multiplies all rows with panel `number`; `done` gets the sums of a few rows at a time, with the number of the first.
pub(super) fn multiply(
    cpu: Cpu,
    matrix: Matrix,
    number: usize,
    rows: Rows,
    scratch: &mut Scratch,
    done: &mut dyn FnMut(usize, &mut [[f32; COLUMNS]]),
) {
    match matrix {
        Matrix::Packed(panels) => multiply_packed(cpu, panels, number, rows, scratch, done),
        Matrix::Stored(stored) => stored::multiply(cpu, stored, number, rows, scratch, done),
    }
}

fn multiply_packed(
    cpu: Cpu,
    panels: Panels,
    number: usize,
    rows: Rows,
    Scratch { widened, unpacked, sums, .. }: &mut Scratch,
    done: &mut dyn FnMut(usize, &mut [[f32; COLUMNS]]),
) {
    sums.fit(TILE_ROWS * COLUMNS);
    let (tile, _) = sums.as_chunks_mut::<COLUMNS>();
    match panels.format {
        Format::F32 | Format::F16 | Format::Bf16 => {
            if rows.count <= float32::FEW {
                let sums = &mut tile[..rows.count];
                float32::multiply_few(cpu.vectors, panels.format, panels.from(number), (rows.values, panels.k), sums);
                return done(0, sums);
            }
            let panel = float32::Panel::new(cpu.vectors, panels.format, panels.numbers(number), widened);
            for (first, count) in tiles(rows.count, VECTOR_ROWS) {
                let values = &rows.values[first * panels.k..][..count * panels.k];
                panel.multiply(cpu.vectors, values, panels.k, &mut tile[..count]);
                done(first, &mut tile[..count]);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Format::Bf16Pairs => bf16::multiply(cpu, panels.numbers(number), rows, tile, done),
        #[cfg(not(target_arch = "x86_64"))]
        Format::Bf16Pairs => unreachable!("refused where the model is opened"),
        Format::Int8 => multiply_int8(cpu, panels.numbers(number), panels.scales(number), rows, tile, done),
        Format::Int4 => {
            unpacked.fit(rows.narrowed.stride * COLUMNS);
            quantized::unpack(cpu, panels.numbers(number), unpacked);
            multiply_int8(cpu, unpacked, panels.scales(number), rows, tile, done);
        }
    }
}

#[expect(unsafe_code, reason = "the lengths are checked, and the processor has the instructions")]
fn multiply_int8(
    cpu: Cpu,
    panel: &[u8],
    notes: &[u8],
    rows: Rows,
    tile: &mut [[f32; COLUMNS]],
    done: &mut dyn FnMut(usize, &mut [[f32; COLUMNS]]),
) {
    let Narrowed { steps, wide_steps, scales, stride, .. } = rows.narrowed;
    let blocks = stride.div_ceil(BLOCK);
    assert!(panel.len() == stride * COLUMNS && notes.len() == blocks * COLUMNS * 8);
    let mut each = |most: usize| {
        for (first, count) in tiles(rows.count, most) {
            let (steps, scales) = (&steps[first * stride..], &scales[first * blocks..(first + count) * blocks]);
            assert!(steps.len() >= count * stride);
            let part = Int8Tile {
                steps: steps.as_ptr(),
                wide_steps: wide_steps.as_ptr().wrapping_add(first * stride),
                row_scales: scales.as_ptr(),
                stride: *stride,
                blocks,
                panel: panel.as_ptr(),
                scales: notes.as_ptr().cast(),
                sums: notes[notes.len() / 2..].as_ptr().cast(),
                tile: tile.as_mut_ptr(),
            };
            unsafe { part.multiply(cpu, count) };
            done(first, &mut tile[..count]);
        }
    };
    match cpu.int8 {
        #[cfg(target_arch = "x86_64")]
        Int8::Amx => amx::with_tiles(|| each(amx::ROWS)),
        #[cfg(not(target_arch = "x86_64"))]
        Int8::Amx => unreachable!("no other processor has it"),
        Int8::Portable | Int8::Avx2 | Int8::AvxVnni | Int8::Avx512Vnni => each(VECTOR_ROWS),
    }
}

/// `$tile::<R>` of the arguments, R being the number of rows: one to six.
#[cfg(target_arch = "x86_64")]
macro_rules! by_rows {
    ($rows:expr, $tile:ident $(, $width:ident)? ($($argument:expr),*)) => {
        match $rows {
            1 => $tile::<1 $(, $width)?>($($argument),*),
            2 => $tile::<2 $(, $width)?>($($argument),*),
            3 => $tile::<3 $(, $width)?>($($argument),*),
            4 => $tile::<4 $(, $width)?>($($argument),*),
            5 => $tile::<5 $(, $width)?>($($argument),*),
            _ => $tile::<6 $(, $width)?>($($argument),*),
        }
    };
}
#[cfg(target_arch = "x86_64")]
use by_rows;

/// So many rows in tiles of at most `most`, as equal as may be where they are few: (first, count).
fn tiles(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = rows.div_ceil(most);
    let even = if most == VECTOR_ROWS { rows.div_ceil(parts.max(1)) } else { most };
    (0..rows).step_by(even.max(1)).map(move |first| (first, even.min(rows - first)))
}
