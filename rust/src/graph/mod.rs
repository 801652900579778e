//! A checkpoint's encoder as an ONNX graph in memory, in the form we want it run.

mod bert;
mod builder;
mod checkpoint;
mod heads;
mod onnx;

pub use self::bert::{Assembled, Encoder, Variant, assemble};
pub use self::checkpoint::Checkpoint;
