//! A checkpoint's encoder as an ONNX graph in memory, in the form we want it run.

mod activation;
mod architecture;
mod bert;
mod builder;
mod checkpoint;
mod decoder;
mod distances;
mod external;
mod form;
mod heads;
mod layers;
mod names;
mod onnx;
mod ours;
mod packed;
#[cfg(test)]
pub(crate) mod testing;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::activation::Activation;
pub use self::architecture::{Architecture, Encoder, TokenTypes};
use self::bert::Bert;
use self::builder::{Builder, Operators};
pub(crate) use self::builder::{LAYER, OURS};
pub use self::checkpoint::Checkpoint;
pub use self::decoder::{Decoder, Head};
pub(crate) use self::decoder::{KEPT, LAST_PLACES, LAST_TOKENS, LENGTH, PAST, PLACES, RUNS, layer_of_starts};
pub use self::external::external_files;
pub use self::form::{Depth, Form};
pub(crate) use self::ours::STARTS;
pub(crate) use self::packed::{FIRST_TOKENS, TOKEN_OFFSETS};
use crate::batch::Layout;
use crate::prepared::{Layer, Numbers, Prepared};
use crate::weights::Weights;
use crate::{Error, Result};

/// A graph with the tensors it points at.
pub struct Assembled {
    /// The serialized `ModelProto`.
    pub proto: Vec<u8>,
    /// The folder that the graph's locations are relative to.
    pub folder: PathBuf,
    /// Every tensor that a session may be handed.
    pub tensors: Vec<Initializer>,
    /// What operators of our own compute; each tells its place here.
    pub layers: Arc<Vec<Layer>>,
    /// Whether it is one for CUDA.
    pub on_cuda: bool,
    /// Whether it is one of those for few texts, whose runs are captured.
    pub captured: bool,
}

/// A tensor that the session may be handed, in place of what the graph points at.
pub struct Initializer {
    /// What the graph calls it.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub numbers: Numbers,
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
    /// The same in 16 bits.
    Narrowed(&'a Prepared),
}

/// What a checkpoint holds the weights of.
#[derive(Debug, Clone)]
pub enum Network {
    /// Tokens see those before and behind them.
    Encoder(Encoder),
    /// Tokens see those before them.
    Decoder(Decoder),
}

impl Network {
    /// Rows of the word table.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Encoder(encoder) => encoder.vocab_size,
            Self::Decoder(decoder) => decoder.vocab_size,
        }
    }
}

/// Assembles one form of a network.
///
/// # Errors
/// [`crate::Error::ModelFormat`] naming a tensor that is missing or has another shape than the configuration says.
pub fn assemble(network: &Network, weights: &Weights, conversion: Conversion, form: Form) -> Result<Assembled> {
    match network {
        Network::Encoder(encoder) => assemble_encoder(encoder, weights, conversion, form),
        Network::Decoder(decoder) => assemble_decoder(decoder, weights, conversion, form),
    }
}

fn assemble_decoder(decoder: &Decoder, weights: &Weights, conversion: Conversion, form: Form) -> Result<Assembled> {
    let operators = match conversion {
        Conversion::Draft => {
            decoder::check(decoder, weights, form)?;
            return Ok(Builder::new(weights, conversion, Operators::Padded).finish::<&str, &[&str], &str>(&[]));
        }
        Conversion::Prepared(prepared) => Operators::Ours(prepared),
        Conversion::InGraph | Conversion::Narrowed(_) => Operators::Cuda { merged: false },
    };
    let mut graph = Builder::new(weights, conversion, operators);
    let inputs = decoder::assemble(decoder, weights, &mut graph, form)?;
    Ok(graph.finish(&inputs))
}

fn assemble_encoder(encoder: &Encoder, weights: &Weights, conversion: Conversion, form: Form) -> Result<Assembled> {
    let operators = match (form.layout, conversion) {
        (Layout::Packed | Layout::Few, Conversion::Prepared(prepared)) => Operators::Ours(prepared),
        (Layout::Packed, _) => Operators::Cuda { merged: false },
        (Layout::Few, _) => Operators::Cuda { merged: true },
        _ => Operators::Padded,
    };
    if matches!(operators, Operators::Cuda { .. }) && encoder.architecture.distances.is_some() {
        let model_type = encoder.architecture.model_type;
        return Err(Error::UnsupportedModel(format!("{model_type} cannot be packed on CUDA")));
    }
    let mut graph = Builder::new(weights, conversion, operators);
    let inputs = Bert::new(encoder, weights)?.assemble(&mut graph, form)?;
    Ok(graph.finish(&inputs))
}
