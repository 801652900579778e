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
mod ours;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::activation::Activation;
pub use self::architecture::{Architecture, Encoder, TokenTypes};
use self::bert::Bert;
use self::builder::Builder;
pub(crate) use self::builder::{LAYER, OURS};
pub use self::checkpoint::Checkpoint;
pub use self::external::external_files;
pub use self::form::Form;
pub(crate) use self::ours::STARTS;
use crate::batch::Layout;
use crate::prepared::{Float32, Layer, Prepared};
use crate::weights::Weights;
use crate::{Error, Result};

/// A graph with the tensors it points at.
pub struct Assembled {
    /// The serialized `ModelProto`.
    pub proto: Vec<u8>,
    /// The folder that the graph's locations are relative to.
    pub folder: PathBuf,
    /// Every float32 tensor that the graph takes.
    pub tensors: Vec<Initializer>,
    /// What operators of our own compute; each tells its place here.
    pub layers: Arc<Vec<Layer>>,
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

/// Who makes float32 of tensors that are stored otherwise.
#[derive(Clone, Copy)]
pub enum Conversion<'a> {
    /// The graph itself, with casts. Tensors that do not lie row by row it cannot take.
    InGraph,
    /// Nobody: it is only seen that the graph is possible.
    Draft,
    /// They are made beforehand and shared by all sessions; the graph can be opened only by who hands them over.
    Prepared(&'a Prepared),
}

/// Assembles one form of an encoder.
///
/// # Errors
/// [`crate::Error::ModelFormat`] naming a tensor that is missing or has another shape than the configuration says.
pub fn assemble(encoder: &Encoder, weights: &Weights, conversion: Conversion, form: Form) -> Result<Assembled> {
    let ours = match (form.layout, conversion) {
        (Layout::Packed, Conversion::Prepared(prepared)) => Some(prepared),
        (Layout::Packed, _) => return Err(Error::Internal("packed texts are for operators of our own".into())),
        _ => None,
    };
    let mut graph = Builder::new(weights, conversion, ours);
    let inputs = Bert::new(encoder, weights)?.assemble(&mut graph, form)?;
    Ok(graph.finish(&inputs))
}
