//! Arithmetic of our own on plain memory: products with prepared weights, attention, normalization, activations. It knows no graph
//! and no ONNX Runtime.
#![expect(
    clippy::inline_always,
    reason = "what is not inlined is compiled for the instructions that every processor has"
)]

mod activation;
mod aligned;
mod attention;
mod cpu;
mod exponential;
mod gated;
mod linear;
mod matrix;
mod means;
mod normalize;
mod panels;
mod products;
mod quantized;
mod rms_norm;
mod rotary;
mod rows;
mod shared;
#[cfg(test)]
mod testing;
mod threads;
mod transposed;
mod vectors;

pub use self::activation::{Activation, add_bias_and_activate};
pub use self::attention::{Attention, CausalAttention, Distances, Rows, attend, attend_causally};
pub use self::cpu::{Bf16, Cpu, Int8, Vectors};
pub use self::gated::Gated;
pub use self::linear::Linear;
pub use self::matrix::{Matrix, Number, Stored, StoredRows};
pub use self::means::Means;
pub use self::normalize::{LayerNorm, Summands, add_and_norm};
pub use self::panels::{COLUMNS, Format, Panels};
pub use self::quantized::Read;
pub use self::rms_norm::{RmsNorm, rms_norm};
pub use self::rotary::{RotaryTable, inverse_lengths};
pub use self::threads::{Alone, Threads};

#[cfg(test)]
mod tests;
