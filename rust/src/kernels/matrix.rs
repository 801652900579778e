//! The matrix of a linear layer: packed for our kernels, or as a checkpoint has it.

use std::ops::Range;

use half::{bf16, f16};

use super::panels::{COLUMNS, Format, Panels};

/// Tensors that lie side by side at most: queries, keys and values.
const TENSORS: usize = 3;

/// The matrix `[out, in]` of a linear layer.
#[derive(Clone, Copy)]
pub enum Matrix<'a> {
    /// Packed.
    Packed(Panels<'a>),
    /// As a checkpoint has it: nothing of it is copied.
    Stored(Stored<'a>),
}

/// How numbers are stored, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Number {
    /// float32.
    F32,
    /// float16.
    F16,
    /// bfloat16.
    Bf16,
}

/// A tensor `[out, in]`, or whole rows of it, as it lies in a file: it may begin at any byte.
#[derive(Debug, Clone, Copy)]
pub struct StoredRows<'a> {
    /// Row after row.
    pub bytes: &'a [u8],
    /// How each number is stored.
    pub number: Number,
}

/// Tensors of the same width, whose rows together are the matrix.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    tensors: [StoredRows<'a>; TENSORS],
    k: usize,
    exact: bool,
}

impl Number {
    /// Bytes of each.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The number that its bytes stand for.
    pub(super) fn read(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::F16, &[low, high]) => f16::from_le_bytes([low, high]).to_f32(),
            (Self::Bf16, &[low, high]) => bf16::from_le_bytes([low, high]).to_f32(),
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            _ => unreachable!("the bytes of one number"),
        }
    }
}

impl<'a> Stored<'a> {
    /// One to three tensors with rows of `k` numbers, one below the other. Products are in float32 where they are to be `exact`, else in
    /// bfloat16 with sums in float32, which the processor must have.
    ///
    /// # Panics
    /// Where there are more tensors, or one has other rows.
    #[must_use]
    pub fn new(tensors: &[StoredRows<'a>], k: usize, exact: bool) -> Self {
        assert!((1..=TENSORS).contains(&tensors.len()) && k > 0, "one to three tensors");
        let whole = |tensor: &StoredRows| tensor.bytes.len().is_multiple_of(k * tensor.number.bytes());
        assert!(tensors.iter().all(whole), "tensors of whole rows");
        let none = StoredRows { bytes: &[], number: Number::F32 };
        Self { tensors: std::array::from_fn(|place| tensors.get(place).copied().unwrap_or(none)), k, exact }
    }

    /// Whether products are in float32.
    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Numbers of a row.
    pub(super) fn k(&self) -> usize {
        self.k
    }

    fn rows(&self) -> [usize; TENSORS] {
        self.tensors.map(|tensor| tensor.bytes.len() / (self.k * tensor.number.bytes()))
    }

    /// The rows of panel `number`, which are of one tensor, and where they are in the matrix.
    fn panel_of(&self, mut number: usize) -> (StoredRows<'a>, Range<usize>) {
        let mut above = 0;
        for (tensor, rows) in self.tensors.into_iter().zip(self.rows()) {
            let panels = rows.div_ceil(COLUMNS);
            if number < panels {
                let rows = number * COLUMNS..rows.min((number + 1) * COLUMNS);
                let row = self.k * tensor.number.bytes();
                let bytes = &tensor.bytes[rows.start * row..rows.end * row];
                return (StoredRows { bytes, ..tensor }, above + rows.start..above + rows.end);
            }
            (number, above) = (number - panels, above + rows);
        }
        unreachable!("a panel of the matrix")
    }

    /// The rows of panel `number`: up to 64 of one tensor.
    pub(super) fn panel(&self, number: usize) -> StoredRows<'a> {
        self.panel_of(number).0
    }
}

impl Matrix<'_> {
    /// Its rows: numbers that come out.
    #[must_use]
    pub fn n(&self) -> usize {
        match self {
            Self::Packed(panels) => panels.n,
            Self::Stored(stored) => stored.rows().iter().sum(),
        }
    }

    /// Its columns: numbers that go in.
    #[must_use]
    pub fn k(&self) -> usize {
        match self {
            Self::Packed(panels) => panels.k,
            Self::Stored(stored) => stored.k,
        }
    }

    /// Parts of up to 64 rows that are multiplied at a time.
    pub(super) fn panels(&self) -> usize {
        match self {
            Self::Packed(panels) => panels.count(),
            Self::Stored(stored) => stored.rows().iter().map(|rows| rows.div_ceil(COLUMNS)).sum(),
        }
    }

    /// The rows of panel `number`.
    pub(super) fn columns(&self, number: usize) -> Range<usize> {
        match self {
            Self::Packed(panels) => number * COLUMNS..number * COLUMNS + panels.columns(number),
            Self::Stored(stored) => stored.panel_of(number).1,
        }
    }

    /// What rows that go in are narrowed for.
    pub(super) fn format(&self) -> Format {
        match self {
            Self::Packed(panels) => panels.format,
            Self::Stored(Stored { exact: true, .. }) => Format::F32,
            Self::Stored(_) => Format::Bf16Pairs,
        }
    }
}
