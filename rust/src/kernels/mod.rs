//! Arithmetic of our own on plain memory: products with prepared weights, attention, normalization, activations. It knows no graph
//! and no ONNX Runtime.

pub mod cpu;
pub mod linear;
pub mod panels;
mod products;
mod rows;
mod threads;

pub use self::threads::{Alone, Threads};

#[cfg(test)]
mod tests;
