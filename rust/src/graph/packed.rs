//! Layers as ONNX Runtime's operators for CUDA, on tokens `[tokens, hidden]` of texts that lie one behind the other: no padding,
//! no mask, and no plans for each shape.

use super::builder::{Builder, CONTRIB, cast_to};
use super::layers::{Attention, linear, product};
use super::onnx::{Attribute, DataType};
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
    let part = Attention { projections: [query, key, value], heads: *heads, size: *size };
    let [queries, keys, values] =
        if graph.merges() { merged(graph, &part, states, output)? } else { apart(graph, &part, states, output)? };
    let heads = [Attribute::Int("num_heads", i64::try_from(*heads).unwrap_or(i64::MAX))];
    let inputs = [&*queries, &*keys, &*values, "", TOKEN_OFFSETS, STARTS];
    Ok(graph.node_of(CONTRIB, "PackedMultiHeadAttention", &inputs, output, &heads))
}

/// Queries, keys and values by a product for each.
fn apart(
    graph: &mut Builder,
    Attention { projections: [query, key, value], size, .. }: &Attention,
    states: &str,
    output: &str,
) -> Result<[String; 3]> {
    let shape = [*size, *size];
    Ok([
        linear(graph, query, shape, states, &format!("{output}.queries"))?,
        product(graph, key, shape, states, &format!("{output}.keys"))?,
        product(graph, value, shape, states, &format!("{output}.values"))?,
    ])
}

/// The same numbers by one product.
fn merged(
    graph: &mut Builder,
    Attention { projections, size, .. }: &Attention,
    states: &str,
    output: &str,
) -> Result<[String; 3]> {
    let mut matrices = Vec::new();
    for name in projections {
        matrices.push(graph.matrix(&format!("{name}.weight"), [*size, *size])?);
    }
    let matrices: Vec<&str> = matrices.iter().map(String::as_str).collect();
    let matrix = graph.node("Concat", &matrices, &format!("{output}.matrix"), &[Attribute::Int("axis", 0)]);
    let mut bias = graph.read(&format!("{}.bias", projections[0]), &[*size])?;
    bias.resize(3 * size, 0.0);
    let bias = graph.numbers(&format!("{output}.bias"), &[3 * size], bias)?;
    let all = [Attribute::Int("transB", 1)];
    let all = graph.node("Gemm", &[states, &matrix, &bias], &format!("{output}.all"), &all);
    let parts = ["queries", "keys", "values"].map(|part| format!("{output}.{part}"));
    graph.split(&all, 1, &[&parts[0], &parts[1], &parts[2]]);
    Ok(parts)
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

/// The mean of each text's tokens, in float32, as `mean_vecs`.
pub(super) fn means(graph: &mut Builder, states: &str) {
    let padded = graph.node_of(CONTRIB, "RestorePadding", &[states, TOKEN_OFFSETS], "mean.padded", &[]);
    let padded = graph.float32(&padded);
    let axis = graph.constant("axis_1", &[1]);
    let sums = graph.node("ReduceSum", &[&padded, &axis], "mean.sums", &[Attribute::Int("keepdims", 0)]);
    let (zero, one) = (graph.constant("zero", &[0]), graph.constant("one", &[1]));
    let (last, end) = (graph.constant("last", &[-1]), graph.constant("end", &[i64::MAX]));
    let begins = graph.node("Slice", &[STARTS, &zero, &last], "mean.begins", &[]);
    let ends = graph.node("Slice", &[STARTS, &one, &end], "mean.ends", &[]);
    let lengths = graph.node("Sub", &[&ends, &begins], "mean.lengths", &[]);
    let lengths = graph.node("Cast", &[&lengths], "mean.lengths.float32", &[cast_to(DataType::Float)]);
    let lengths = graph.node("Unsqueeze", &[&lengths, &axis], "mean.lengths.column", &[]);
    graph.node("Div", &[&sums, &lengths], "mean_vecs", &[]);
}

/// The first token of each text.
pub(super) fn first_tokens(graph: &mut Builder, values: &str) -> String {
    graph.node("Gather", &[values, FIRST_TOKENS], &format!("{values}.first"), &[Attribute::Int("axis", 0)])
}
