//! The layers that encoders are made of, as operators of our own: on tokens `[1, tokens, hidden]` of texts that lie one behind the
//! other, with their numbers in the operators.

use std::sync::Arc;

use super::architecture::Encoder;
use super::builder::Builder;
use super::distances::bucket_scores;
use super::layers::{Attention, Bias, Norm};
use crate::Result;
use crate::kernels::{Bf16, Cpu};
use crate::prepared::{Arithmetic, AttentionLayer, DistanceTable, Layer, LinearNames, NormLayer, Prepared};

/// Where each text begins among the tokens, and where the last one ends: `[texts + 1]`.
pub(crate) const STARTS: &str = "text_starts";

pub(super) fn linear(
    graph: &mut Builder,
    ours: &Prepared,
    names: LinearNames,
    values: &str,
    output: &str,
) -> Result<String> {
    Ok(graph.layer("Linear", Layer::Linear(ours.linear(names)?), &[values], output))
}

pub(super) fn add_and_norm(
    graph: &mut Builder,
    ours: &Prepared,
    norm: Norm,
    values: [&str; 2],
    bias: Option<Bias>,
    output: &str,
) -> Result<String> {
    let Norm { name, size, epsilon } = norm;
    let bias = match bias {
        None => None,
        Some(Bias::Of(layer) | Bias::Taken { layer, .. }) => Some(ours.numbers(&format!("{layer}.bias"), &[size])?),
        Some(Bias::FirstRow { table, rows }) => Some(ours.numbers(table, &[rows, size])?[..size].to_vec()),
    };
    let scale = ours.numbers(&format!("{name}.weight"), &[size])?;
    let shift = ours.numbers(&format!("{name}.bias"), &[size])?;
    let layer = Layer::Norm(NormLayer { bias, scale, shift, epsilon });
    Ok(graph.layer("AddAndNorm", layer, &values, output))
}

/// All tokens ask, by one product for queries, keys and values; or only those of `asking`, the first of each text.
pub(super) fn attention(
    graph: &mut Builder,
    ours: &Prepared,
    Attention { projections, heads, size }: &Attention,
    [asking, states]: [&str; 2],
    distances: Option<&Arc<DistanceTable>>,
    output: &str,
) -> Result<String> {
    // Where the processor's products in bfloat16 are slower, nothing is won by them.
    let exact = ours.arithmetic() == Arithmetic::Float32 || !Cpu::chosen().bf16.is_some_and(Bf16::outpaces_float32);
    let layer = AttentionLayer { heads: *heads, size: size / heads, distances: distances.cloned(), exact };
    let heights = [*size; 3];
    let mut linear = |layers: &[&str], states: &str, output: &str| {
        let names = LinearNames { biased: true, ..LinearNames::of(layers, &heights[..layers.len()], *size) };
        linear(graph, ours, names, states, output)
    };
    let inputs = if asking == states {
        vec![linear(projections, states, &format!("{output}.product"))?]
    } else {
        let queries = linear(&projections[..1], asking, &format!("{output}.queries"))?;
        vec![queries, linear(&projections[1..], states, &format!("{output}.keys_and_values"))?]
    };
    let inputs: Vec<&str> = std::iter::once(STARTS).chain(inputs.iter().map(String::as_str)).collect();
    Ok(graph.layer("Attention", Layer::Attention(layer), &inputs, output))
}

/// What the distance of two tokens adds to their score, by the table `name` `[buckets, heads]`.
pub(super) fn distances(ours: &Prepared, name: &str, encoder: &Encoder) -> Result<Arc<DistanceTable>> {
    let reach = encoder.max_position_embeddings;
    let scores = bucket_scores(|shape| ours.numbers(name, shape), encoder.num_attention_heads, reach)?;
    Ok(Arc::new(DistanceTable { scores, reach }))
}
