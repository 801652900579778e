//! BERT (Devlin et al., 2018) and its relatives. Each layer is ten nodes.

use std::sync::Arc;

use super::architecture::{Architecture, Encoder, TokenTypes};
use super::builder::{Builder, cast_to};
use super::distances::distance_scores;
use super::layers::{Attention, Bias, Norm, Scores, activated_layer, add_and_norm, attention, product, token_linear};
use super::names::LayerNames;
use super::onnx::{Attribute, DataType};
use super::packed::{self, FIRST_TOKENS, TOKEN_OFFSETS};
use super::{Form, heads, ours};
use crate::batch::Layout;
use crate::outputs::Part;
use crate::prepared::{DistanceTable, Prepared};
use crate::weights::Weights;
use crate::{Error, Result};

/// An input of a graph with its dimensions.
type Input = (&'static str, &'static [&'static str]);

/// An encoder, and what the names of its tensors start with.
pub(super) struct Bert<'a> {
    pub encoder: &'a Encoder,
    pub prefix: &'static str,
}

/// One layer: its number among values, and what the names of its tensors start with.
struct Layer {
    value: String,
    tensors: String,
}

impl<'a> Bert<'a> {
    /// Finds out whether the encoder was saved alone or inside a model with a head.
    pub fn new(encoder: &'a Encoder, weights: &Weights) -> Result<Self> {
        let Architecture { model_type, prefix, .. } = encoder.architecture;
        let first = "embeddings.word_embeddings.weight";
        let found = ["", prefix].into_iter().find(|prefix| weights.contains(&format!("{prefix}{first}")));
        let prefix = found.ok_or_else(|| {
            let what = format!("without an encoder of the type {model_type}: no {first}, alone or after {prefix}");
            Error::ModelFormat(weights.lacking(&what))
        })?;
        Ok(Self { encoder, prefix })
    }

    /// The first tensor of a layer behind the last: the sizes are those of a smaller model than the weights.
    pub fn left_over<'w>(&self, weights: &'w Weights) -> Option<&'w str> {
        weights.first_below(&self.layer(self.encoder.num_hidden_layers).tensor(""))
    }

    /// Adds the whole graph; gives the names of its inputs.
    pub fn assemble(&self, graph: &mut Builder, form: Form) -> Result<Vec<Input>> {
        // Only who scores pairs tells where the second text begins; every other token has type 0.
        let types = self.encoder.architecture.token_types;
        let told_apart = types == TokenTypes::OfPairs && form.outputs.contains(Part::Logits);
        let mut states = self.embeddings(graph, told_apart)?;
        let masked = form.layout == Layout::Masked;
        let mask = masked
            .then(|| graph.node("Cast", &["attention_mask"], "attention_mask_int32", &[cast_to(DataType::Int32)]));
        let (added, distances) = match graph.ours() {
            Some(prepared) => (None, self.distances(prepared)?),
            None => (self.distance_scores(graph)?, None),
        };
        let scores = Scores { mask: mask.as_deref(), added: added.as_deref(), distances: distances.as_ref() };
        for number in 0..self.encoder.num_hidden_layers {
            let last = number + 1 == self.encoder.num_hidden_layers;
            let first_row_only = last && form.outputs.first_row_only();
            let layer = self.layer(number);
            let attended = self.attended(graph, &layer, &states, scores, first_row_only)?;
            states = if form.layout == Layout::Halved && !first_row_only {
                self.feed_forward_in_halves(graph, &layer, &attended)?
            } else {
                self.feed_forward(graph, &layer, &attended, &layer.value)?
            };
        }
        heads::add(graph, self, form.outputs, &states)?;
        let packed = graph.on_cuda();
        let tokens: &[&str] = if packed { &["tokens"] } else { &["batch", "length"] };
        let inputs = [
            ("input_ids", tokens, true),
            ("position_ids", tokens, true),
            ("attention_mask", tokens, masked),
            ("token_type_ids", tokens, told_apart),
            (ours::STARTS, &["starts"], packed || graph.ours().is_some()),
            (TOKEN_OFFSETS, &["texts", "longest"], packed),
            (FIRST_TOKENS, &["texts"], packed && form.outputs.takes_first_rows()),
        ];
        Ok(inputs.into_iter().filter_map(|(name, dims, taken)| taken.then_some((name, dims))).collect())
    }

    /// Word + token type + position, normalized, and made as wide as hidden states.
    fn embeddings(&self, graph: &mut Builder, typed: bool) -> Result<String> {
        let Encoder { embedding_size: width, hidden_size, .. } = *self.encoder;
        if width == hidden_size {
            return self.sum_of_embeddings(graph, typed, "embeddings");
        }
        let narrow = self.sum_of_embeddings(graph, typed, "embeddings.narrow")?;
        token_linear(graph, &self.tensor("embeddings_project"), [hidden_size, width], &narrow, "embeddings")
    }

    /// Where every token has type 0, its row is the bias of the sum.
    fn sum_of_embeddings(&self, graph: &mut Builder, typed: bool, output: &str) -> Result<String> {
        let Encoder { vocab_size, max_position_embeddings, type_vocab_size, embedding_size: width, .. } = *self.encoder;
        let table = |part: &str| self.tensor(&format!("embeddings.{part}_embeddings.weight"));
        let words = graph.rows(&table("word"), &[vocab_size, width], "input_ids", "embeddings.words")?;
        let places = [max_position_embeddings, width];
        let positions = graph.rows(&table("position"), &places, "position_ids", "embeddings.positions")?;
        let norm = self.tensor("embeddings.LayerNorm");
        let norm = Norm { name: &norm, size: width, epsilon: self.encoder.layer_norm_eps };
        if self.encoder.architecture.token_types == TokenTypes::None {
            return add_and_norm(graph, norm, [&words, &positions], None, output);
        }
        let (kinds, shape) = (table("token_type"), [type_vocab_size, width]);
        if typed {
            let kinds = graph.rows(&kinds, &shape, "token_type_ids", "embeddings.types")?;
            let words = graph.node("Add", &[&words, &kinds], "embeddings.typed", &[]);
            return add_and_norm(graph, norm, [&words, &positions], None, output);
        }
        let first_type = Bias::FirstRow { table: &kinds, rows: type_vocab_size };
        add_and_norm(graph, norm, [&words, &positions], Some(first_type), output)
    }

    fn distances(&self, prepared: &Prepared) -> Result<Option<Arc<DistanceTable>>> {
        let table = self.encoder.architecture.distances;
        table.map(|table| ours::distances(prepared, &self.tensor(table), self.encoder)).transpose()
    }

    fn distance_scores(&self, graph: &mut Builder) -> Result<Option<String>> {
        let Encoder { architecture, num_attention_heads, .. } = *self.encoder;
        architecture.distances.map(|table| distance_scores(graph, &self.tensor(table), num_attention_heads)).transpose()
    }

    /// The first part of a layer: attention, added to what went in and normalized.
    fn attended(
        &self,
        graph: &mut Builder,
        layer: &Layer,
        states: &str,
        scores: Scores,
        first_row_only: bool,
    ) -> Result<String> {
        let LayerNames { query, key, value, taken, attention_norm, .. } = self.encoder.architecture.layer;
        let size = self.encoder.hidden_size;
        // Keys and values need every token; whoever asks only for the first one's state needs nothing else of the rest.
        let asking = if first_row_only { first_tokens(graph, states) } else { states.to_owned() };
        let added = scores.added.map(|added| if first_row_only { first(graph, added, 2) } else { added.to_owned() });
        let scores = Scores { added: added.as_deref(), ..scores };
        let [query, key, value] = [query, key, value].map(|name| layer.tensor(name));
        let part = Attention { projections: [&query, &key, &value], heads: self.encoder.num_attention_heads, size };
        let output = format!("{}.attention", layer.value);
        let mut values = attention(graph, &part, &asking, states, scores, &format!("{output}.self"))?;
        if graph.on_cuda() && first_row_only {
            values = packed::first_tokens(graph, &values);
        }

        let dense = layer.tensor(taken);
        let attended = product(graph, &dense, [size, size], &values, &format!("{output}.product"))?;
        let bias = if graph.on_cuda() { Bias::Taken { layer: &dense, value: &value } } else { Bias::Of(&dense) };
        self.add_and_norm(graph, &layer.tensor(attention_norm), [&attended, &asking], bias, &output)
    }

    /// The second part: two linear layers, added to what went in and normalized.
    fn feed_forward(&self, graph: &mut Builder, layer: &Layer, attended: &str, output: &str) -> Result<String> {
        let Encoder { architecture, hidden_size: size, intermediate_size: inner, hidden_act, .. } = *self.encoder;
        let LayerNames { wide, narrow, norm, .. } = architecture.layer;
        let dense = layer.tensor(wide);
        let values =
            activated_layer(graph, &dense, [inner, size], hidden_act, attended, &format!("{output}.intermediate"))?;

        let dense = layer.tensor(narrow);
        let values = product(graph, &dense, [size, inner], &values, &format!("{output}.product"))?;
        self.add_and_norm(graph, &layer.tensor(norm), [&values, attended], Bias::Of(&dense), output)
    }

    fn feed_forward_in_halves(&self, graph: &mut Builder, layer: &Layer, attended: &str) -> Result<String> {
        let name = &layer.value;
        let halves = [0, 1].map(|half| format!("{name}.attention.{half}"));
        graph.split(attended, 1, &[&halves[0], &halves[1]]);
        let mut done = Vec::with_capacity(2);
        for (half, attended) in halves.iter().enumerate() {
            done.push(self.feed_forward(graph, layer, attended, &format!("{name}.{half}"))?);
        }
        Ok(graph.node("Concat", &[&done[0], &done[1]], name, &[Attribute::Int("axis", 1)]))
    }

    fn add_and_norm(
        &self,
        graph: &mut Builder,
        name: &str,
        values: [&str; 2],
        bias: Bias,
        output: &str,
    ) -> Result<String> {
        let Encoder { hidden_size: size, layer_norm_eps: epsilon, .. } = *self.encoder;
        add_and_norm(graph, Norm { name, size, epsilon }, values, Some(bias), output)
    }

    fn layer(&self, number: usize) -> Layer {
        let tensors = self.tensor(&format!("{}.{number}", self.encoder.architecture.layer.layers));
        Layer { value: format!("layer.{number}"), tensors }
    }

    /// The name of one of the encoder's tensors, or of one of its layers.
    pub fn tensor(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Layer {
    fn tensor(&self, name: &str) -> String {
        format!("{}.{name}", self.tensors)
    }
}

/// The first token of each text.
pub(super) fn first_tokens(graph: &mut Builder, states: &str) -> String {
    if graph.on_cuda() {
        return packed::first_tokens(graph, states);
    }
    if graph.ours().is_none() {
        return first(graph, states, 1);
    }
    let (from, to) = (graph.constant("first", &[0]), graph.constant("last", &[-1]));
    let places = graph.node_once("Slice", &[ours::STARTS, &from, &to], "first_tokens", &[]);
    graph.node("Gather", &[states, &places], &format!("{states}.first"), &[Attribute::Int("axis", 1)])
}

/// The first of `values` along an axis, which stays.
fn first(graph: &mut Builder, values: &str, axis: i64) -> String {
    let first = graph.constant("first", &[0]);
    graph.node("Gather", &[values, &first], &format!("{values}.first"), &[Attribute::Int("axis", axis)])
}
