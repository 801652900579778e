//! Arithmetic of our own on plain memory: products with prepared weights, attention, normalization, activations. It knows no graph
//! and no ONNX Runtime.
#![expect(
    clippy::inline_always,
    reason = "what is not inlined is compiled for the instructions that every processor has"
)]

pub mod activation;
pub mod attention;
pub mod cpu;
mod exponential;
pub mod normalize;
#[cfg(test)]
mod testing;
mod threads;
mod vectors;

pub use self::activation::{Activation, add_bias_and_activate};
pub use self::attention::{Attention, Distances, Rows, attend};
pub use self::normalize::{LayerNorm, Summands, add_and_norm};
pub use self::threads::{Alone, Threads};
