//! Layers as ONNX Runtime's operators for CUDA, on tokens `[tokens, hidden]` of texts that lie one behind the other: no padding,
//! no mask, and no plans for each shape.

use super::builder::{Builder, CONTRIB};
use super::layers::{Attention, linear, product};
use super::onnx::Attribute;
use super::ours::STARTS;
use crate::Result;

/// Where each token lies were all texts padded to the longest, and behind them where the padding lies: `[texts, longest]`.
pub(crate) const TOKEN_OFFSETS: &str = "token_offsets";
/// The place of the first token of each text: `[texts]`.
pub(crate) const FIRST_TOKENS: &str = "first_tokens";

/// What each token takes from those of its text, but for the bias of the values, which [`taken_bias`] has.
///
/// The bias of the keys adds the same to all scores of a token, which softmax does not see; so neither needs an addition over all
/// tokens.
pub(super) fn attention(
    graph: &mut Builder,
    Attention { projections: [query, key, value], heads, size }: &Attention,
    states: &str,
    output: &str,
) -> Result<String> {
    let shape = [*size, *size];
    let queries = linear(graph, query, shape, states, &format!("{output}.queries"))?;
    let keys = product(graph, key, shape, states, &format!("{output}.keys"))?;
    let values = product(graph, value, shape, states, &format!("{output}.values"))?;
    let heads = [Attribute::Int("num_heads", i64::try_from(*heads).unwrap_or(i64::MAX))];
    let inputs = [&*queries, &*keys, &*values, "", TOKEN_OFFSETS, STARTS];
    Ok(graph.node_of(CONTRIB, "PackedMultiHeadAttention", &inputs, output, &heads))
}

/// The bias of the layer `dense` behind an attention, and what its matrix makes of the bias of the values `value`: of all that a
/// token takes the weights add up to one.
pub(super) fn taken_bias(graph: &mut Builder, dense: &str, value: &str, size: usize) -> Result<String> {
    let matrix = graph.read(&format!("{dense}.weight"), &[size, size])?;
    let added = graph.read(&format!("{value}.bias"), &[size])?;
    let mut bias = graph.read(&format!("{dense}.bias"), &[size])?;
    for (number, row) in bias.iter_mut().zip(matrix.chunks_exact(size)) {
        *number += row.iter().zip(&added).map(|(weight, value)| weight * value).sum::<f32>();
    }
    graph.numbers(&format!("{dense}.bias.taken"), &[size], bias)
}

/// The first token of each text.
pub(super) fn first_tokens(graph: &mut Builder, values: &str) -> String {
    graph.node("Gather", &[values, FIRST_TOKENS], &format!("{values}.first"), &[Attribute::Int("axis", 0)])
}
