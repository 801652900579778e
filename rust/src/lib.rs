//! The core of bge-fast: texts in, vectors out, on ONNX Runtime.
//!
//! Data flows one way: [`tokenizer`] turns texts into ids, [`batch`] groups ids by length under a token budget,
//! [`session`] runs the graph ([`sessions`] opens one where a call needs it), [`pooling`] takes one row a text, and
//! [`embedder`] puts the rows back in input order. Graphs are read from a file or assembled: [`weights`] maps a checkpoint's
//! tensors, [`graph`] writes the ONNX graph that points at them, [`checkpoint`] holds both.
//! [`runtime`] owns the ONNX Runtime library. `python` (feature `python`) is the only room that knows Python.

pub mod batch;
pub mod checkpoint;
pub mod embedder;
pub mod error;
mod gate;
pub mod graph;
pub mod m3;
pub mod model;
pub mod multi_vectors;
pub mod outputs;
mod pickle;
pub mod pooling;
#[cfg(feature = "python")]
mod python;
pub mod reranker;
pub mod runtime;
mod safetensors_file;
pub mod session;
pub mod sessions;
mod stamp;
mod stored;
pub mod tokenizer;
mod torch_file;
pub mod weights;
mod work;

pub use embedder::{Embeddings, EncodeOptions};
pub use error::{Error, Result};
pub use model::Model;
