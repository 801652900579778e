//! What the readers of weight files hand over: where each tensor lies, and of what type it is.

use std::fmt;

/// Tensors of one checkpoint. BGE's largest encoder has 400.
pub(crate) const MAX_TENSORS: usize = 100_000;
/// Dimensions of a tensor; an encoder's have two.
pub(crate) const MAX_RANK: usize = 16;

/// Floating-point types of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
    /// 16 bits, IEEE half precision.
    F16,
    /// 16 bits, the upper half of an `F32`.
    Bf16,
}

impl Dtype {
    /// Bytes of a number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        })
    }
}

/// One tensor of a file.
#[derive(Debug)]
pub(crate) struct Stored {
    pub name: String,
    /// Its type, or why it is no use as a weight: an error only for who asks for this tensor.
    pub dtype: Result<Dtype, String>,
    /// What its file calls its type.
    #[cfg_attr(not(feature = "python"), expect(dead_code, reason = "only Python copies tensors"))]
    pub kind: String,
    pub shape: Vec<usize>,
    /// Elements from one to the next along each dimension, where they do not lie row by row.
    pub strides: Option<Vec<usize>>,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// What is wrong with a tensor of a type that no weight has.
pub(crate) fn no_weight(kind: &str) -> String {
    format!("is of type {kind}; weights are {}, {}, {} or {}", Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16)
}

/// A file's text, fit for a message: of bounded length and without control characters.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
