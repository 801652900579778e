//! The layers that encoders are made of, as nodes on `[batch, length, hidden]` of ONNX Runtime's operators; where the graph has
//! operators of our own, as those of `ours.rs`.
//!
//! Biases ride along in the attention, normalization and activation operators. Rank-2 activations with `Gemm` took four Reshapes more a
//! layer and were no faster (bge-small, 8 – 512 tokens); MatMul–Softmax–MatMul was 2 – 6 % slower than `MultiHeadAttention` from
//! 128 tokens on and equal below.

use std::sync::Arc;

use super::activation::Activation;
use super::builder::{Builder, CONTRIB};
use super::onnx::Attribute;
use super::{ours, packed};
use crate::Result;
use crate::prepared::{DistanceTable, LinearNames};

/// Added to the scores of padding: no softmax gives it any weight.
const MASKED: f32 = -3.4e38;
/// What float16 has to add to a variance.
const LEAST_EPSILON: f32 = 1e-7;

/// `values` × the transposed matrix `name.weight`, which is stored as `[out, in]`; without its bias.
pub(super) fn product(
    graph: &mut Builder,
    name: &str,
    shape: [usize; 2],
    values: &str,
    output: &str,
) -> Result<String> {
    if let Some(prepared) = graph.ours() {
        let layers = [name];
        let names = LinearNames::of(&layers, &shape[..1], shape[1]);
        return ours::linear(graph, prepared, names, values, output);
    }
    let matrix = graph.matrix(&format!("{name}.weight"), shape)?;
    Ok(graph.node_of(CONTRIB, "FusedMatMul", &[values, &matrix], output, &[Attribute::Int("transB", 1)]))
}

/// A whole linear layer, of rows `[batch, in]`: a head.
pub(super) fn linear(graph: &mut Builder, name: &str, shape: [usize; 2], values: &str, output: &str) -> Result<String> {
    if graph.ours().is_some() {
        return token_linear(graph, name, shape, values, output);
    }
    let matrix = graph.matrix(&format!("{name}.weight"), shape)?;
    let bias = graph.small(&format!("{name}.bias"), &[shape[0]])?;
    Ok(graph.node("Gemm", &[values, &matrix, &bias], output, &[Attribute::Int("transB", 1)]))
}

/// A `LayerNorm` by the name of its tensors.
#[derive(Clone, Copy)]
pub(super) struct Norm<'a> {
    pub name: &'a str,
    pub size: usize,
    pub epsilon: f32,
}

/// What is added to every row of a sum.
#[derive(Clone, Copy)]
pub(super) enum Bias<'a> {
    /// The bias of the linear layer of this name.
    Of(&'a str),
    /// That and what the layer makes of the bias of the values, on CUDA.
    Taken { layer: &'a str, value: &'a str },
    /// The first row of a table of so many.
    FirstRow { table: &'a str, rows: usize },
}

/// The normalized sum of two values, and of a bias where there is one.
pub(super) fn add_and_norm(
    graph: &mut Builder,
    norm: Norm,
    values: [&str; 2],
    bias: Option<Bias>,
    output: &str,
) -> Result<String> {
    if let Some(prepared) = graph.ours() {
        return ours::add_and_norm(graph, prepared, norm, values, bias, output);
    }
    let scale = graph.small(&format!("{}.weight", norm.name), &[norm.size])?;
    let shift = graph.small(&format!("{}.bias", norm.name), &[norm.size])?;
    let bias = match bias {
        None => None,
        Some(Bias::Of(layer)) => Some(graph.small(&format!("{layer}.bias"), &[norm.size])?),
        Some(Bias::Taken { layer, value }) => Some(packed::taken_bias(graph, layer, value, norm.size)?),
        Some(Bias::FirstRow { table, rows }) => Some(graph.first_row(table, &[rows, norm.size])?),
    };
    let inputs: Vec<&str> = values.into_iter().chain([&*scale, &*shift]).chain(bias.as_deref()).collect();
    // Below that float16 has none.
    let epsilon = if graph.half() { norm.epsilon.max(LEAST_EPSILON) } else { norm.epsilon };
    let epsilon = [Attribute::Float("epsilon", epsilon)];
    Ok(graph.node_of(CONTRIB, "SkipLayerNormalization", &inputs, output, &epsilon))
}

/// A whole linear layer, of tokens `[batch, length, in]`, outside of the encoder's layers.
pub(super) fn token_linear(
    graph: &mut Builder,
    name: &str,
    shape: [usize; 2],
    values: &str,
    output: &str,
) -> Result<String> {
    if let Some(prepared) = graph.ours() {
        let layers = [name];
        let names = LinearNames { biased: true, exact: true, ..LinearNames::of(&layers, &shape[..1], shape[1]) };
        return ours::linear(graph, prepared, names, values, output);
    }
    let values = product(graph, name, shape, values, &format!("{name}.product"))?;
    let bias = graph.small(&format!("{name}.bias"), &[shape[0]])?;
    Ok(graph.node("Add", &[&values, &bias], output, &[]))
}

/// The linear layers of an attention, `[query, key, value]`, square.
pub(super) struct Attention<'a> {
    pub projections: [&'a str; 3],
    pub heads: usize,
    pub size: usize,
}

/// What the scores of pairs of tokens depend on beside the tokens: which are padding, and numbers added to the scores.
#[derive(Clone, Copy)]
pub(super) struct Scores<'a> {
    pub mask: Option<&'a str>,
    pub added: Option<&'a str>,
    /// The numbers by distance, for operators of our own.
    pub distances: Option<&'a Arc<DistanceTable>>,
}

/// What each token of `asking` takes from all tokens of `states`.
pub(super) fn attention(
    graph: &mut Builder,
    Attention { projections, heads, size }: &Attention,
    asking: &str,
    states: &str,
    scores: Scores,
    output: &str,
) -> Result<String> {
    if let Some(prepared) = graph.ours() {
        let part = Attention { projections: *projections, heads: *heads, size: *size };
        return ours::attention(graph, prepared, &part, [asking, states], scores.distances, output);
    }
    if graph.on_cuda() {
        let part = Attention { projections: *projections, heads: *heads, size: *size };
        return packed::attention(graph, &part, states, output);
    }
    let (mut inputs, mut biases) = (Vec::new(), Vec::new());
    for (name, from) in projections.iter().zip([asking, states, states]) {
        inputs.push(product(graph, name, [*size, *size], from, &format!("{name}.product"))?);
        biases.push(graph.small(&format!("{name}.bias"), &[*size])?);
    }
    let biases: Vec<&str> = biases.iter().map(String::as_str).collect();
    inputs.push(graph.node("Concat", &biases, &format!("{output}.bias"), &[Attribute::Int("axis", 0)]));
    let mut inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    match scores {
        Scores { mask, added: Some(added), .. } => inputs.extend([mask.unwrap_or_default(), added]),
        Scores { mask, added: None, .. } => inputs.extend(mask),
    }
    let heads = i64::try_from(*heads).unwrap_or(i64::MAX);
    let attributes = [Attribute::Int("num_heads", heads), Attribute::Float("mask_filter_value", MASKED)];
    Ok(graph.node_of(CONTRIB, "MultiHeadAttention", &inputs, output, &attributes))
}

/// The linear layer `name`, `[inner, size]`, and an activation.
pub(super) fn activated_layer(
    graph: &mut Builder,
    name: &str,
    shape: [usize; 2],
    activation: Activation,
    values: &str,
    output: &str,
) -> Result<String> {
    if let Some(prepared) = graph.ours() {
        let layers = [name];
        let activation = Some(activation);
        let names = LinearNames { biased: true, activation, ..LinearNames::of(&layers, &shape[..1], shape[1]) };
        return ours::linear(graph, prepared, names, values, output);
    }
    let wide = product(graph, name, shape, values, &format!("{output}.product"))?;
    let bias = graph.small(&format!("{name}.bias"), &[shape[0]])?;
    Ok(activation.of_sum(graph, &wide, &bias, output))
}
