//! Decoder-only models: Llama (Touvron et al., 2023) and its relatives. Texts lie one behind the other, and all layers but the sums are
//! operators of our own.

mod names;
mod parts;
mod past;
mod scores;
mod sizes;

use self::names::Names;
use self::parts::last_tokens;
use self::scores::compressed;
pub use self::sizes::{Decoder, Head};
use super::builder::Builder;
use super::{Depth, Form, ours};
use crate::Result;
use crate::outputs::{Outputs, Part};
use crate::prepared::Prepared;
use crate::weights::Weights;

/// An input of a graph with its dimensions.
type Input = (String, &'static [&'static str]);

/// Where a decoder's graph asks for what of each text is no passage: `[texts, 2]`, tokens before and behind it.
pub(crate) const KEPT: &str = "kept";
/// The keys and values of a beginning, as what goes in and what comes out is called: `[layers, tokens, width]`.
pub(crate) const PAST: &str = "past";

/// A decoder, what its tensors are called, and what their numbers come from.
struct Tower<'a> {
    decoder: &'a Decoder,
    names: Names,
    prepared: &'a Prepared,
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
pub(super) fn assemble(
    decoder: &Decoder,
    weights: &Weights,
    prepared: &Prepared,
    graph: &mut Builder,
    form: Form,
) -> Result<Vec<Input>> {
    let names = Names::new(weights)?;
    names.check(decoder, weights, form)?;
    let Form { outputs, depth, past, .. } = form;
    let given = outputs.contains(Part::Past);
    let tower = Tower { decoder, names, prepared, past, apart: past || given };
    let mut inputs: Vec<Input> = vec![("input_ids".into(), &["batch", "length"]), (ours::STARTS.into(), &["texts"])];
    if past {
        inputs.push((PAST.into(), &["layers", "beginning", "width"]));
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
    /// Adds the layers, and what comes out behind the last and behind others; gives inputs that they need.
    fn scored(&self, graph: &mut Builder, mut states: String, outputs: Outputs, depth: Depth) -> Result<Vec<Input>> {
        let cutoffs = depth.cutoffs(self.decoder.num_hidden_layers);
        let last = cutoffs[cutoffs.len() - 1];
        let (mut starts, mut inputs, mut scores) = (ours::STARTS.to_owned(), Vec::<Input>::new(), Vec::new());
        for number in 0..last {
            if depth.compressing().any(|layer| layer == number) {
                let next = starts_before(number);
                states = compressed(graph, &states, [&starts, &next], depth, number);
                inputs.push((next.clone(), &["texts"]));
                starts = next;
            }
            states = self.layer(graph, number, &states, &starts, number + 1 == last)?;
            if outputs.contains(Part::Logits) && cutoffs.contains(&(number + 1)) {
                let rows = if number + 1 == last { states.clone() } else { last_tokens(graph, &states, &starts) };
                scores.push(self.score(graph, &rows, number + 1, scores.len())?);
            }
        }
        if !inputs.is_empty() {
            inputs.push((KEPT.into(), &["texts", "sides"]));
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
