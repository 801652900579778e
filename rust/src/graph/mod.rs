//! A checkpoint's encoder as an ONNX graph in memory, in the form we want it run.

mod activation;
mod architecture;
mod bert;
mod builder;
mod checkpoint;
mod distances;
mod external;
mod form;
mod heads;
mod layers;
mod names;
mod onnx;

use std::path::PathBuf;

pub use self::activation::Activation;
pub use self::architecture::{Architecture, Encoder, TokenTypes};
use self::bert::Bert;
use self::builder::Builder;
pub use self::checkpoint::Checkpoint;
pub use self::external::external_files;
pub use self::form::Form;
use crate::Result;
use crate::prepared::{Float32, Prepared};
use crate::weights::Weights;

/// A graph with the tensors it points at.
pub struct Assembled {
    /// The serialized `ModelProto`.
    pub proto: Vec<u8>,
    /// The folder that the graph's locations are relative to.
    pub folder: PathBuf,
    /// Every float32 tensor that the graph takes.
    pub tensors: Vec<Initializer>,
}

/// A tensor that the session may be handed, in place of what the graph points at.
pub struct Initializer {
    /// What the graph calls it.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub numbers: Float32,
}

/// Assembles one form of an encoder. With `prepared`, matrices stored in 16 bits are taken from there, widened, and the graph can be
/// opened only by who hands them over; without, the graph itself widens them.
///
/// # Errors
/// [`crate::Error::ModelFormat`] naming a tensor that is missing or has another shape than the configuration says.
pub fn assemble(encoder: &Encoder, weights: &Weights, prepared: Option<&Prepared>, form: Form) -> Result<Assembled> {
    let mut graph = Builder::new(weights, prepared);
    let inputs = Bert::new(encoder, weights)?.assemble(&mut graph, form)?;
    Ok(graph.finish(&inputs))
}
