//! Decoder-only models: Llama (Touvron et al., 2023) and its relatives. On the CPU texts lie one behind the other, and all layers but the
//! sums are operators of our own; on CUDA texts are padded, and all are ONNX Runtime's.

mod cuda;
mod names;
mod parts;
mod past;
mod scores;
mod sizes;

pub(crate) use self::cuda::{LAST_PLACES, LAST_TOKENS, LENGTH, PLACES, RUNS};
use self::names::Names;
use self::scores::compressed;
pub use self::sizes::{Decoder, Head};
use super::builder::Builder;
use super::{Depth, Form, ours};
use crate::kernels::inverse_lengths;
use crate::outputs::{Outputs, Part};
use crate::weights::Weights;
use crate::{Error, Result};

/// An input of a graph with its dimensions. Those of one name are the same.
type Input = (String, Vec<String>);

fn input(name: &str, dims: &[&str]) -> Input {
    (name.to_owned(), dims.iter().map(|&dim| dim.to_owned()).collect())
}

/// Where a decoder's graph asks for what of each text is no passage: `[texts, 2]`, tokens before and behind it.
pub(crate) const KEPT: &str = "kept";
/// The keys and values of a beginning, as what goes in and what comes out is called: `[layers, tokens, width]`.
pub(crate) const PAST: &str = "past";

/// A decoder, what its tensors are called, and how its layers lie in a graph.
struct Tower<'a> {
    decoder: &'a Decoder,
    names: Names,
    /// What the angle of two numbers of a head grows by from token to token.
    rotary: Vec<f32>,
    /// Texts go on behind a beginning.
    past: bool,
    /// Keys and values are a product of their own.
    apart: bool,
}

/// Sees that all tensors are there that a decoder needs for `outputs`, and have the right shapes.
///
/// # Errors
/// [`crate::Error::ModelFormat`] that names the first that has not.
pub(super) fn check(decoder: &Decoder, weights: &Weights, form: Form) -> Result<()> {
    Names::new(weights)?.check(decoder, weights, form)
}

/// The first tensor of a layer behind the last: the sizes are those of a smaller model than the weights.
pub(super) fn left_over<'w>(decoder: &Decoder, weights: &'w Weights) -> Result<Option<&'w str>> {
    Ok(weights.first_below(&Names::new(weights)?.layer(decoder.num_hidden_layers, "")))
}

/// Adds the whole graph; gives its inputs.
///
/// # Errors
/// As [`check`].
pub(super) fn assemble(decoder: &Decoder, weights: &Weights, graph: &mut Builder, form: Form) -> Result<Vec<Input>> {
    let names = Names::new(weights)?;
    names.check(decoder, weights, form)?;
    let Form { outputs, depth, past, .. } = form;
    let given = outputs.contains(Part::Past);
    if graph.on_cuda() && (past || given) {
        return Err(Error::Internal("a beginning is for the CPU".into()));
    }
    let rotary = inverse_lengths(decoder.head_dim, decoder.rope_theta, decoder.rope_factor);
    let tower = Tower { decoder, names, rotary, past, apart: past || given };
    let mut inputs: Vec<Input> = vec![input("input_ids", &["batch", "length"])];
    if graph.on_cuda() {
        inputs.extend(tower.inputs_on_cuda(graph, ""));
    } else {
        inputs.push(input(ours::STARTS, &["texts"]));
    }
    if past {
        inputs.push(input(PAST, &["layers", "beginning", "width"]));
    }
    let states = tower.embeddings(graph)?;
    if given {
        tower.past(graph, states, ours::STARTS)?;
    } else {
        inputs.extend(tower.scored(graph, states, outputs, depth)?);
    }
    Ok(inputs)
}

impl Tower<'_> {
    /// Adds the layers, and what comes out behind the last and behind others; gives inputs that they need. `starts` is the input that tells
    /// where texts begin, on CUDA the stage.
    fn scored(&self, graph: &mut Builder, mut states: String, outputs: Outputs, depth: Depth) -> Result<Vec<Input>> {
        let cutoffs = depth.cutoffs(self.decoder.num_hidden_layers);
        let last = cutoffs[cutoffs.len() - 1];
        let mut starts = if graph.on_cuda() { String::new() } else { ours::STARTS.to_owned() };
        let (mut inputs, mut scores) = (Vec::<Input>::new(), Vec::new());
        for number in 0..last {
            if depth.compressing().any(|layer| layer == number) {
                if graph.on_cuda() {
                    starts = format!(".{number}");
                    states = self.compressed_on_cuda(graph, &states, &starts);
                    inputs.extend(self.inputs_on_cuda(graph, &starts));
                } else {
                    let next = starts_before(number);
                    states = compressed(graph, &states, [&starts, &next], depth, number);
                    inputs.push(input(&next, &["texts"]));
                    starts = next;
                }
            }
            states = self.layer(graph, number, &states, &starts, number + 1 == last)?;
            if outputs.contains(Part::Logits) && cutoffs.contains(&(number + 1)) {
                let rows = if number + 1 == last { states.clone() } else { self.last_tokens(graph, &states, &starts) };
                scores.push(self.score(graph, &rows, number + 1, scores.len())?);
            }
        }
        if !inputs.is_empty() && !graph.on_cuda() {
            inputs.push(input(KEPT, &["texts", "sides"]));
        }
        self.outputs(graph, outputs, &states, &scores)?;
        Ok(inputs)
    }
}

/// What the input is called with where texts begin before a layer.
fn starts_before(layer: usize) -> String {
    format!("{}.{layer}", ours::STARTS)
}

/// The layer of such an input.
pub(crate) fn layer_of_starts(name: &str) -> Option<usize> {
    name.strip_prefix(ours::STARTS)?.strip_prefix('.')?.parse().ok()
}
