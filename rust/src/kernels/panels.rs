//! A linear layer's matrix in panels of 64 columns, as the product kernels read it: one panel after the other, along K within
//! each, so that memory is read once and in order.

use std::ops::Range;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

use super::cpu::Cpu;
use super::quantized::{self, PART, Read};

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
    /// The same from 4 bits: times a multiplier for each column and 32 numbers, they are 8-bit integers.
    Int4,
}

impl Format {
    /// K as it is written, with zeros at its end.
    pub(super) fn padded(self, k: usize) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => k,
            Self::Bf16Pairs => k.next_multiple_of(BF16_STEP),
            Self::Int8 | Self::Int4 => k.next_multiple_of(INT8_STEP),
        }
    }

    /// Whether numbers are rounded to steps of a scale.
    #[must_use]
    pub fn is_quantized(self) -> bool {
        matches!(self, Self::Int8 | Self::Int4)
    }

    /// Bytes of the numbers of a panel, and in 4 bits of the multipliers behind them.
    pub(super) fn numbers(self, k: usize) -> usize {
        let numbers = self.padded(k) * COLUMNS;
        match self {
            Self::F32 => numbers * 4,
            Self::F16 | Self::Bf16 | Self::Bf16Pairs => numbers * 2,
            Self::Int8 => numbers,
            Self::Int4 => numbers / 2 + numbers / PART,
        }
    }

    /// Bytes of a panel: numbers and, where they are quantized, scales and sums of each block.
    #[must_use]
    pub fn panel_bytes(self, k: usize) -> usize {
        let blocks = if self.is_quantized() { k.div_ceil(BLOCK) } else { 0 };
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
            Self::Int8 | Self::Int4 => {
                let read = |row: usize, places: Range<usize>, numbers: &mut [f32]| {
                    numbers.copy_from_slice(&rows[row * k..][places]);
                };
                self.quantize(cpu, [rows.len() / k, k], &read, panel);
            }
        }
    }

    /// The same for numbers that are quantized, which are read piece by piece.
    ///
    /// # Panics
    /// For a format whose numbers are not.
    pub fn quantize(self, cpu: Cpu, rows_and_k: [usize; 2], read: Read, panel: &mut [u8]) {
        assert!(self.is_quantized(), "8 or 4 bits");
        quantized::pack(cpu, self, rows_and_k, read, panel);
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

    /// Where numbers are quantized: the scales of panel `number`, `[blocks, 64]` float32, and then the sum of each block's numbers.
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
