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
mod linear;
mod normalize;
mod panels;
mod products;
mod rows;
mod shared;
#[cfg(test)]
mod testing;
mod threads;
mod vectors;

pub use self::activation::{Activation, add_bias_and_activate};
pub use self::attention::{Attention, Distances, Rows, attend};
pub use self::cpu::{Bf16, Cpu, Int8, Vectors};
pub use self::linear::Linear;
pub use self::normalize::{LayerNorm, Summands, add_and_norm};
pub use self::panels::{COLUMNS, Format, Panels};
pub use self::threads::{Alone, Threads};

#[cfg(test)]
mod tests;
