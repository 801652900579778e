//! The core of bge-fast: texts in, vectors out, on ONNX Runtime.
//!
//! A room a subject, and each uses only those above it in this list: [`tokenizer`] turns texts into ids; [`weights`] maps a
//! checkpoint's tensors as they are stored; [`batch`] groups ids by length under a token budget; [`outputs`] turns what a run
//! puts out into rows; [`graph`] writes the ONNX graph of a checkpoint; [`ort`] opens and runs graphs with ONNX Runtime; [`run`]
//! decides which sessions are open and who runs what; [`search`] keeps the best of many scores; [`models`] holds the verbs. `python` (feature `python`) is the only room that
//! knows Python.

pub mod batch;
pub mod error;
pub mod graph;
pub mod kernels;
mod memory;
pub mod models;
pub mod ort;
pub mod outputs;
mod panics;
pub mod prepared;
#[cfg(feature = "python")]
mod python;
pub mod run;
pub mod search;
pub mod tokenizer;
pub mod weights;

pub use error::{Error, Result};
pub use models::{Embeddings, EncodeOptions, Model};
