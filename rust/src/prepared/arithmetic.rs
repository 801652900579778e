//! Types of numbers that products are computed in.

use crate::{Error, Result};

/// What products are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// float32, from weights as they are stored.
    Float32,
    /// bfloat16 between sums in float32.
    Bf16,
    /// 8-bit integers, with a scale for each block of numbers.
    Int8,
    /// The same from weights in 4 bits.
    Int4,
    /// float16 between sums in float32, on CUDA devices.
    Float16,
}

impl Arithmetic {
    /// Whether weights are rounded to steps of a scale.
    #[must_use]
    pub fn is_quantized(self) -> bool {
        matches!(self, Self::Int8 | Self::Int4)
    }

    /// Whether weights are floating-point numbers of 16 bits.
    #[must_use]
    pub fn is_narrow(self) -> bool {
        matches!(self, Self::Float16 | Self::Bf16)
    }
}

impl std::str::FromStr for Arithmetic {
    type Err = Error;

    /// # Errors
    /// [`Error::Value`] for one that there is not.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "fp32" => Ok(Self::Float32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            "fp16" => Ok(Self::Float16),
            "int4" => Ok(Self::Int4),
            other => Err(Error::Value(format!("unknown arithmetic {other:?}"))),
        }
    }
}
