//! BERT (Devlin et al., 2018) and its relatives. Each layer is ten nodes.

use super::architecture::{Architecture, Encoder};
use super::builder::{Builder, cast_to};
use super::layers::{Attention, Norm, add_and_norm, attention, gelu_layer, product};
use super::onnx::{Attribute, DataType};
use super::{Form, heads};
use crate::batch::Layout;
use crate::outputs::Part;
use crate::weights::Weights;
use crate::{Error, Result};

/// An encoder, and what the names of its tensors start with.
pub(super) struct Bert<'a> {
    pub encoder: &'a Encoder,
    pub prefix: &'static str,
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
        weights.first_below(&format!("{}.", self.tensor(&layer_name(self.encoder.num_hidden_layers))))
    }

    /// Adds the whole graph; gives the names of its inputs.
    pub fn assemble(&self, graph: &mut Builder, form: Form) -> Result<Vec<&'static str>> {
        // Only who scores pairs tells where the second text begins; every other token has type 0.
        let typed = self.encoder.architecture.typed_pairs && form.outputs.contains(Part::Logits);
        let mut states = self.embeddings(graph, typed)?;
        let masked = form.layout == Layout::Masked;
        let mask = masked
            .then(|| graph.node("Cast", &["attention_mask"], "attention_mask_int32", &[cast_to(DataType::Int32)]));
        for layer in 0..self.encoder.num_hidden_layers {
            let last = layer + 1 == self.encoder.num_hidden_layers;
            let first_row_only = last && form.outputs.first_row_only();
            let name = layer_name(layer);
            let attended = self.attended(graph, &name, &states, mask.as_deref(), first_row_only)?;
            states = if form.layout == Layout::Halved && !first_row_only {
                self.feed_forward_in_halves(graph, &name, &attended)?
            } else {
                self.feed_forward(graph, &name, &attended, &name)?
            };
        }
        heads::add(graph, self, form.outputs, &states)?;
        let inputs =
            [("input_ids", true), ("position_ids", true), ("attention_mask", masked), ("token_type_ids", typed)];
        Ok(inputs.into_iter().filter_map(|(name, taken)| taken.then_some(name)).collect())
    }

    /// Word + token type + position, normalized. Where every token has type 0, its row is the bias of the sum.
    fn embeddings(&self, graph: &mut Builder, typed: bool) -> Result<String> {
        let Encoder { vocab_size, max_position_embeddings, type_vocab_size, hidden_size, .. } = *self.encoder;
        let table = |part: &str| self.tensor(&format!("embeddings.{part}_embeddings.weight"));
        let words = graph.rows(&table("word"), &[vocab_size, hidden_size], "input_ids", "embeddings.words")?;
        let places = [max_position_embeddings, hidden_size];
        let positions = graph.rows(&table("position"), &places, "position_ids", "embeddings.positions")?;
        let (kinds, shape) = (table("token_type"), [type_vocab_size, hidden_size]);
        if typed {
            let kinds = graph.rows(&kinds, &shape, "token_type_ids", "embeddings.types")?;
            let words = graph.node("Add", &[&words, &kinds], "embeddings.typed", &[]);
            return self.add_and_norm(graph, "embeddings.LayerNorm", [&words, &positions], None, "embeddings");
        }
        let first_type = graph.first_row(&kinds, &shape)?;
        self.add_and_norm(graph, "embeddings.LayerNorm", [&words, &positions], Some(&first_type), "embeddings")
    }

    /// The first part of a layer: attention, added to what went in and normalized.
    fn attended(
        &self,
        graph: &mut Builder,
        name: &str,
        states: &str,
        mask: Option<&str>,
        first_row_only: bool,
    ) -> Result<String> {
        let size = self.encoder.hidden_size;
        // Keys and values need every token; whoever asks only for the first one's state needs nothing else of the rest.
        let asking = if first_row_only { first_token(graph, states) } else { states.to_owned() };
        let [query, key, value] =
            ["query", "key", "value"].map(|part| self.tensor(&format!("{name}.attention.self.{part}")));
        let layer = Attention { projections: [&query, &key, &value], heads: self.encoder.num_attention_heads, size };
        let taken = attention(graph, &layer, &asking, states, mask, &format!("{name}.attention.self"))?;

        let dense = self.tensor(&format!("{name}.attention.output.dense"));
        let attended = product(graph, &dense, [size, size], &taken, &format!("{name}.attention.product"))?;
        let bias = graph.vector(&format!("{dense}.bias"), size)?;
        let norm = format!("{name}.attention.output.LayerNorm");
        self.add_and_norm(graph, &norm, [&attended, &asking], Some(&bias), &format!("{name}.attention"))
    }

    /// The second part: two dense layers, added to what went in and normalized.
    fn feed_forward(&self, graph: &mut Builder, name: &str, attended: &str, output: &str) -> Result<String> {
        let Encoder { hidden_size: size, intermediate_size: inner, .. } = *self.encoder;
        let dense = self.tensor(&format!("{name}.intermediate.dense"));
        let wide = gelu_layer(graph, &dense, [inner, size], attended, &format!("{output}.intermediate"))?;

        let dense = self.tensor(&format!("{name}.output.dense"));
        let narrow = product(graph, &dense, [size, inner], &wide, &format!("{output}.product"))?;
        let bias = graph.vector(&format!("{dense}.bias"), size)?;
        self.add_and_norm(graph, &format!("{name}.output.LayerNorm"), [&narrow, attended], Some(&bias), output)
    }

    fn feed_forward_in_halves(&self, graph: &mut Builder, name: &str, attended: &str) -> Result<String> {
        let halves = [0, 1].map(|half| format!("{name}.attention.{half}"));
        graph.halves(attended, 1, [&halves[0], &halves[1]]);
        let mut done = Vec::with_capacity(2);
        for (half, attended) in halves.iter().enumerate() {
            done.push(self.feed_forward(graph, name, attended, &format!("{name}.{half}"))?);
        }
        Ok(graph.node("Concat", &[&done[0], &done[1]], name, &[Attribute::Int("axis", 1)]))
    }

    fn add_and_norm(
        &self,
        graph: &mut Builder,
        name: &str,
        values: [&str; 2],
        bias: Option<&str>,
        output: &str,
    ) -> Result<String> {
        let Encoder { hidden_size: size, layer_norm_eps: epsilon, .. } = *self.encoder;
        let norm = Norm { name: &self.tensor(name), size, epsilon };
        add_and_norm(graph, norm, values, bias, output)
    }

    /// The name of one of the encoder's tensors, or of one of its layers.
    pub fn tensor(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn layer_name(layer: usize) -> String {
    format!("encoder.layer.{layer}")
}

fn first_token(graph: &mut Builder, states: &str) -> String {
    let first = graph.constant("first_token", &[0]);
    graph.node("Gather", &[states, &first], "first_token_states", &[Attribute::Int("axis", 1)])
}
