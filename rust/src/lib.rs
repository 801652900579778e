//! The core of bge-fast: texts in, vectors out, on ONNX Runtime.
//!
//! Data flows one way: [`tokenizer`] turns texts into ids, [`batch`] groups ids by length under a token budget,
//! [`session`] runs the graph ([`sessions`] holds one for queries and one for bulk work), [`pooling`] takes one row a text, and [`embedder`] puts the rows back in input order.
//! [`runtime`] owns the ONNX Runtime library. `python` (feature `python`) is the only room that knows Python.

pub mod batch;
pub mod embedder;
pub mod error;
mod gate;
pub mod pooling;
#[cfg(feature = "python")]
mod python;
pub mod runtime;
pub mod session;
pub mod sessions;
pub mod tokenizer;

pub use embedder::{Embedder, Embeddings, EncodeOptions};
pub use error::{Error, Result};
