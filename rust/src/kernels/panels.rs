//! A linear layer's matrix in panels of 64 columns, as the product kernels read it: one panel after the other, along K within
//! each, so that memory is read once and in order.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

use super::cpu::Cpu;
use super::rows::quantize_signed;

/// Columns of a panel; those behind the last one are zero.
pub const COLUMNS: usize = 64;
/// Numbers along K that share a scale in 8 bits.
pub const BLOCK: usize = 128;
/// K is filled up with zeros to a multiple of this in 8 bits, which is what one AMX instruction takes.
const INT8_STEP: usize = 64;
/// The same in bfloat16.
const BF16_STEP: usize = 32;

/// How the numbers of a panel are written, and so which arithmetic they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// float32, for products in float32.
    F32,
    /// float16, widened to float32 in registers: products in float32.
    F16,
    /// bfloat16, widened to float32 in registers: products in float32.
    Bf16,
    /// bfloat16, for products in bfloat16 with sums in float32: two numbers along K side by side.
    Bf16Pairs,
    /// 8-bit integers with a scale for each column and [`BLOCK`]: four numbers along K side by side.
    Int8,
}

impl Format {
    /// K as it is written, with zeros at its end.
    pub(super) fn padded(self, k: usize) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => k,
            Self::Bf16Pairs => k.next_multiple_of(BF16_STEP),
            Self::Int8 => k.next_multiple_of(INT8_STEP),
        }
    }

    /// Bytes of the numbers of a panel.
    fn numbers(self, k: usize) -> usize {
        let each = match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 | Self::Bf16Pairs => 2,
            Self::Int8 => 1,
        };
        self.padded(k) * COLUMNS * each
    }

    /// Bytes of a panel: numbers and, in 8 bits, scales and sums of each block.
    #[must_use]
    pub fn panel_bytes(self, k: usize) -> usize {
        let blocks = if self == Self::Int8 { k.div_ceil(BLOCK) } else { 0 };
        self.numbers(k) + blocks * COLUMNS * 8
    }

    /// Writes a panel of up to 64 `rows` of the matrix `[out, in]`, each of `k` numbers, into [`Self::panel_bytes`] zeros.
    pub fn pack(self, cpu: Cpu, rows: &[f32], k: usize, panel: &mut [u8]) {
        let padded = self.padded(k);
        let one = |bits: &[u16; 1]| bits[0].to_le_bytes();
        let two = |bits: &[u16; 2]| (u32::from(bits[0]) | u32::from(bits[1]) << 16).to_le_bytes();
        match self {
            Self::F32 => interleave::<f32, 1, 4>(rows, k, panel, |number| number[0].to_le_bytes()),
            Self::F16 => interleave::<u16, 1, 2>(&narrowed(rows, k, padded, to_f16), padded, panel, one),
            Self::Bf16 => interleave::<u16, 1, 2>(&narrowed(rows, k, padded, to_bf16), padded, panel, one),
            Self::Bf16Pairs => interleave::<u16, 2, 4>(&narrowed(rows, k, padded, to_bf16), padded, panel, two),
            Self::Int8 => pack_int8(cpu, rows, k, panel),
        }
    }
}

/// The matrix `[out, in]` of a linear layer, packed.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    /// How it is written.
    pub format: Format,
    /// Rows of the matrix: numbers that come out.
    pub n: usize,
    /// Columns of the matrix: numbers that go in.
    pub k: usize,
    /// All panels, one after the other, aligned to 64 bytes.
    pub bytes: &'a [u8],
}

impl<'a> Panels<'a> {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.n.div_ceil(COLUMNS)
    }

    /// Columns of panel `number` that the matrix has.
    pub(super) fn columns(&self, number: usize) -> usize {
        COLUMNS.min(self.n - number * COLUMNS)
    }

    /// The numbers of panel `number`.
    pub(super) fn numbers(&self, number: usize) -> &'a [u8] {
        &self.panel(number)[..self.format.numbers(self.k)]
    }

    /// Panel `number` and all behind it.
    pub(super) fn from(&self, number: usize) -> &'a [u8] {
        &self.bytes[number * self.format.panel_bytes(self.k)..]
    }

    /// In 8 bits: the scales of panel `number`, `[blocks, 64]` float32, and then the sum of each block's numbers.
    pub(super) fn scales(&self, number: usize) -> &'a [u8] {
        &self.panel(number)[self.format.numbers(self.k)..]
    }

    fn panel(&self, number: usize) -> &'a [u8] {
        let size = self.format.panel_bytes(self.k);
        &self.bytes[number * size..][..size]
    }
}

/// Rows `[columns, k]` → `[k / G, 64, G]`, little-endian.
fn interleave<T: Copy, const G: usize, const B: usize>(
    rows: &[T],
    k: usize,
    panel: &mut [u8],
    bytes: impl Fn(&[T; G]) -> [u8; B],
) {
    let (panel, _) = panel.as_chunks_mut::<B>();
    let groups: Vec<&[[T; G]]> = rows.chunks_exact(k).map(|row| row.as_chunks::<G>().0).collect();
    for (place, columns) in panel.chunks_exact_mut(COLUMNS).enumerate() {
        for (column, groups) in columns.iter_mut().zip(&groups) {
            *column = bytes(&groups[place]);
        }
    }
}

/// The bits of every number in 16, each row filled up with zeros to `padded`.
fn narrowed(rows: &[f32], k: usize, padded: usize, narrow: impl Fn(&[f32], &mut [u16])) -> Vec<u16> {
    let mut bits = vec![0; rows.len() / k * padded];
    for (row, bits) in rows.chunks_exact(k).zip(bits.chunks_exact_mut(padded)) {
        narrow(row, &mut bits[..k]);
    }
    bits
}

fn to_f16(row: &[f32], bits: &mut [u16]) {
    bits.reinterpret_cast_mut::<f16>().convert_from_f32_slice(row);
}

fn to_bf16(row: &[f32], bits: &mut [u16]) {
    bits.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(row);
}

fn pack_int8(cpu: Cpu, rows: &[f32], k: usize, panel: &mut [u8]) {
    let padded = Format::Int8.padded(k);
    let (numbers, notes) = panel.split_at_mut(Format::Int8.numbers(k));
    let (notes, _) = notes.as_chunks_mut::<4>();
    let (scales, sums) = notes.split_at_mut(notes.len() / 2);
    let mut steps = vec![0; rows.len() / k * padded];
    for (column, (row, steps)) in rows.chunks_exact(k).zip(steps.chunks_exact_mut(padded)).enumerate() {
        for (number, (block, steps)) in row.chunks(BLOCK).zip(steps.chunks_mut(BLOCK)).enumerate() {
            let scale = quantize_signed(cpu, block, steps);
            let sum: i32 = steps[..block.len()].iter().map(|step| i32::from(step.cast_signed())).sum();
            scales[number * COLUMNS + column] = scale.to_le_bytes();
            sums[number * COLUMNS + column] = (scale * whole(sum)).to_le_bytes();
        }
    }
    interleave::<u8, 4, 4>(&steps, padded, numbers, |steps| *steps);
}

#[expect(clippy::cast_precision_loss, reason = "a sum of 128 numbers of 8 bits")]
fn whole(sum: i32) -> f32 {
    sum as f32
}
