//! A linear layer's matrix in panels of 64 columns, as the product kernels read it: one panel after the other, along K within
//! each, so that memory is read once and in order.

use half::{bf16, f16};

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
    pub fn pack(self, rows: &[f32], k: usize, panel: &mut [u8]) {
        match self {
            Self::F32 => pack_wide(rows, k, panel, f32::to_le_bytes),
            Self::F16 => pack_wide(rows, k, panel, |number| f16::from_f32(number).to_le_bytes()),
            Self::Bf16 => pack_wide(rows, k, panel, |number| bf16::from_f32(number).to_le_bytes()),
            Self::Bf16Pairs => pack_pairs(rows, k, panel),
            Self::Int8 => pack_int8(rows, k, panel),
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

    /// In 8 bits: the scales of panel `number`, `[blocks, 64]` float32, and then −128 × the sum of each block's numbers, int32.
    pub(super) fn scales(&self, number: usize) -> &'a [u8] {
        &self.panel(number)[self.format.numbers(self.k)..]
    }

    fn panel(&self, number: usize) -> &'a [u8] {
        let size = self.format.panel_bytes(self.k);
        &self.bytes[number * size..][..size]
    }
}

fn pack_wide<const B: usize>(rows: &[f32], k: usize, panel: &mut [u8], narrow: impl Fn(f32) -> [u8; B]) {
    let (panel, _) = panel.as_chunks_mut::<B>();
    for (column, row) in rows.chunks_exact(k).enumerate() {
        for (place, &number) in row.iter().enumerate() {
            panel[place * COLUMNS + column] = narrow(number);
        }
    }
}

fn pack_pairs(rows: &[f32], k: usize, panel: &mut [u8]) {
    let (panel, _) = panel.as_chunks_mut::<2>();
    for (column, row) in rows.chunks_exact(k).enumerate() {
        for (place, &number) in row.iter().enumerate() {
            panel[(place / 2 * COLUMNS + column) * 2 + place % 2] = bf16::from_f32(number).to_le_bytes();
        }
    }
}

fn pack_int8(rows: &[f32], k: usize, panel: &mut [u8]) {
    let (numbers, notes) = panel.split_at_mut(Format::Int8.numbers(k));
    let (notes, _) = notes.as_chunks_mut::<4>();
    let (scales, sums) = notes.split_at_mut(notes.len() / 2);
    for (column, row) in rows.chunks_exact(k).enumerate() {
        for (number, block) in row.chunks(BLOCK).enumerate() {
            let largest = block.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            let to_steps = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let mut sum = 0;
            for (place, &weight) in block.iter().enumerate() {
                let place = number * BLOCK + place;
                let step = steps(weight * to_steps);
                sum += i32::from(step);
                numbers[(place / 4 * COLUMNS + column) * 4 + place % 4] = step.cast_unsigned();
            }
            scales[number * COLUMNS + column] = (largest / 127.0).to_le_bytes();
            sums[number * COLUMNS + column] = (-128 * sum).to_le_bytes();
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "-127 ..= 127")]
fn steps(scaled: f32) -> i8 {
    scaled.round_ties_even() as i8
}
