//! A checkpoint's encoder as an ONNX graph in memory, in the form we want it run.
//!
//! The model is BERT (Devlin et al., 2018); XLM-R differs in how positions are counted, which `batch` does. Each layer is ten
//! nodes on `[batch, length, hidden]`: the biases ride along in the attention, normalization and GELU operators, and
//! `FusedMatMul` multiplies by the checkpoint's own `[out, in]` matrices. Rank-2 activations with `Gemm` took four Reshapes
//! more a layer and were no faster (bge-small, 8 – 512 tokens); the same graph with MatMul–Softmax–MatMul was 2 – 6 % slower
//! than `MultiHeadAttention` from 128 tokens on and equal below.

use std::path::PathBuf;

use super::builder::{Builder, CONTRIB, cast_to};
use super::onnx::{Attribute, DataType};
use crate::Result;
use crate::batch::Architecture;
use crate::outputs::{Outputs, Part};
use crate::weights::{Tensor, Weights};

/// Added to the scores of padding: no softmax gives it any weight.
const MASKED: f32 = -3.4e38;

/// The sizes of an encoder, as `config.json` gives them.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Which of the two shapes it has.
    pub architecture: Architecture,
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Length of a hidden state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads; they divide `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// Rows of the token type table.
    pub type_vocab_size: usize,
    /// Added to the variance in each `LayerNorm`.
    pub layer_norm_eps: f32,
}

/// One form of a checkpoint's graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// What it puts out. Where that is the first row alone, the last layer computes nothing else.
    pub outputs: Outputs,
    /// Whether it takes an `attention_mask`. Without one attention runs in tiles: 8,192 tokens need no 8,192 × 8,192 matrix.
    pub mask: bool,
    /// Whether the feed-forward part takes the tokens in two halves: the same numbers, and for 8,192 tokens of XLM-R large
    /// 305 MB instead of 705. From 2,048 tokens on it costs no time.
    pub halves: bool,
}

impl Variant {
    /// The form for a padded batch or not, of texts of any but extreme length.
    #[must_use]
    pub fn of(outputs: Outputs, mask: bool) -> Self {
        Self { outputs, mask, halves: false }
    }
}

/// A graph with the tensors it points at.
pub struct Assembled {
    /// The serialized `ModelProto`.
    pub proto: Vec<u8>,
    /// The folder that the graph's locations are relative to.
    pub folder: PathBuf,
    /// Every float32 tensor that the graph takes as it is stored.
    pub tensors: Vec<(String, Tensor)>,
}

/// Assembles one form of the encoder.
///
/// # Errors
/// [`crate::Error::ModelFormat`] naming a tensor that is missing or has another shape than the configuration says.
pub fn assemble(encoder: &Encoder, weights: &Weights, variant: Variant) -> Result<Assembled> {
    let mut graph = Builder::new(weights)?;
    // Only a BERT that scores pairs is told where the second text begins; every other token has type 0.
    let types = encoder.architecture == Architecture::Bert && variant.outputs.contains(Part::Logits);
    let mut states = graph.embeddings(encoder, types)?;
    let mask = variant.mask.then(|| graph.mask());
    for layer in 0..encoder.num_hidden_layers {
        let last = layer + 1 == encoder.num_hidden_layers;
        let first_row_only = last && variant.outputs.first_row_only();
        let attended = graph.attended(encoder, layer, &states, mask.as_deref(), first_row_only)?;
        states = if variant.halves && !first_row_only {
            let halves = graph.split(&attended, layer);
            let done = [0, 1].map(|half| graph.feed_forward(encoder, layer, &halves[half], &format!(".{half}")));
            let [first, second] = done;
            graph.node("Concat", &[&first?, &second?], &format!("encoder.layer.{layer}"), &[Attribute::Int("axis", 1)])
        } else {
            graph.feed_forward(encoder, layer, &attended, "")?
        };
    }
    graph.heads(encoder, variant, &states)?;
    Ok(graph.finish(variant.mask, types))
}

impl Builder<'_> {
    /// Word + token type + position, normalized. Where every token has type 0, its row is the bias of the sum.
    fn embeddings(&mut self, encoder: &Encoder, types: bool) -> Result<String> {
        let hidden = encoder.hidden_size;
        let words = self.rows("embeddings.word_embeddings", &[encoder.vocab_size, hidden], "input_ids")?;
        let places = [encoder.max_position_embeddings, hidden];
        let positions = self.rows("embeddings.position_embeddings", &places, "position_ids")?;
        let kinds = [encoder.type_vocab_size, hidden];
        if types {
            let kinds = self.rows("embeddings.token_type_embeddings", &kinds, "token_type_ids")?;
            let words = self.node("Add", &[&words, &kinds], "embeddings.typed", &[]);
            return self.add_and_normalize(encoder, "embeddings", &words, &positions, None);
        }
        let first_type = self.table_row("embeddings.token_type_embeddings.weight", &kinds)?;
        self.add_and_normalize(encoder, "embeddings", &words, &positions, Some(&first_type))
    }

    /// The first part of a layer: attention, added to what went in and normalized.
    fn attended(
        &mut self,
        encoder: &Encoder,
        layer: usize,
        states: &str,
        mask: Option<&str>,
        first_row_only: bool,
    ) -> Result<String> {
        let hidden = encoder.hidden_size;
        let name = format!("encoder.layer.{layer}");
        // Keys and values need every token; whoever asks only for the first one's state needs nothing else of the rest.
        let asking = if first_row_only { self.first_token(states) } else { states.to_owned() };
        let attention = self.attention(encoder, &format!("{name}.attention.self"), &asking, states, mask)?;

        let dense = format!("{name}.attention.output.dense");
        let attended = self.product(&dense, &[hidden, hidden], &attention)?;
        let bias = self.weight(&format!("{dense}.bias"), &[hidden])?;
        let norm = format!("{name}.attention.output");
        self.add_and_normalize(encoder, &norm, &attended, &asking, Some(&bias))
    }

    /// The second part: two dense layers, added to what went in and normalized. `part` tells values of the halves apart.
    fn feed_forward(&mut self, encoder: &Encoder, layer: usize, attended: &str, part: &str) -> Result<String> {
        let (hidden, inner) = (encoder.hidden_size, encoder.intermediate_size);
        let name = format!("encoder.layer.{layer}");
        self.in_part(part);
        let dense = format!("{name}.intermediate.dense");
        let wide = self.product(&dense, &[inner, hidden], attended)?;
        let bias = self.weight(&format!("{dense}.bias"), &[inner])?;
        // The exact form of GELU, with erf.
        let wide = self.node_of(CONTRIB, "BiasGelu", &[&wide, &bias], &format!("{name}.intermediate"), &[]);

        let dense = format!("{name}.output.dense");
        let narrow = self.product(&dense, &[hidden, inner], &wide)?;
        let bias = self.weight(&format!("{dense}.bias"), &[hidden])?;
        let states = self.add_and_normalize(encoder, &format!("{name}.output"), &narrow, attended, Some(&bias))?;
        self.in_part("");
        Ok(states)
    }

    fn attention(
        &mut self,
        encoder: &Encoder,
        name: &str,
        asking: &str,
        states: &str,
        mask: Option<&str>,
    ) -> Result<String> {
        let hidden = encoder.hidden_size;
        let mut inputs = Vec::new();
        let mut biases = Vec::new();
        for (part, from) in [("query", asking), ("key", states), ("value", states)] {
            inputs.push(self.product(&format!("{name}.{part}"), &[hidden, hidden], from)?);
            biases.push(self.weight(&format!("{name}.{part}.bias"), &[hidden])?);
        }
        let biases: Vec<&str> = biases.iter().map(String::as_str).collect();
        inputs.push(self.node("Concat", &biases, &format!("{name}.bias"), &[Attribute::Int("axis", 0)]));
        inputs.extend(mask.map(str::to_owned));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let heads = i64::try_from(encoder.num_attention_heads).unwrap_or(i64::MAX);
        let attributes = [Attribute::Int("num_heads", heads), Attribute::Float("mask_filter_value", MASKED)];
        Ok(self.node_of(CONTRIB, "MultiHeadAttention", &inputs, name, &attributes))
    }

    /// `values` × the transposed matrix `name.weight`, which is stored as `[out, in]`.
    fn product(&mut self, name: &str, shape: &[usize], values: &str) -> Result<String> {
        let matrix = self.weight(&format!("{name}.weight"), shape)?;
        let attributes = [Attribute::Int("transB", 1)];
        Ok(self.node_of(CONTRIB, "FusedMatMul", &[values, &matrix], &format!("{name}.product"), &attributes))
    }

    fn add_and_normalize(
        &mut self,
        encoder: &Encoder,
        name: &str,
        one: &str,
        other: &str,
        bias: Option<&str>,
    ) -> Result<String> {
        let scale = self.weight(&format!("{name}.LayerNorm.weight"), &[encoder.hidden_size])?;
        let shift = self.weight(&format!("{name}.LayerNorm.bias"), &[encoder.hidden_size])?;
        let epsilon = [Attribute::Float("epsilon", encoder.layer_norm_eps)];
        let inputs: Vec<&str> = [one, other, &scale, &shift].into_iter().chain(bias).collect();
        Ok(self.node_of(CONTRIB, "SkipLayerNormalization", &inputs, &format!("{name}.LayerNorm"), &epsilon))
    }

    fn first_token(&mut self, states: &str) -> String {
        let first = self.constant("first_token", &[0]);
        self.node("Gather", &[states, &first], "first_token_states", &[Attribute::Int("axis", 1)])
    }

    fn mask(&mut self) -> String {
        self.node("Cast", &["attention_mask"], "attention_mask_int32", &[cast_to(DataType::Int32)])
    }
}
