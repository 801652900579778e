//! The parts of a decoder as nodes of ONNX Runtime's operators for CUDA, on tokens `[texts, length, width]` that are padded on the
//! right: nobody looks to the right. Products and attention are in 16 bits where the model is, all between them in float32.
//!
//! A stage is what inputs are called behind their names: nothing, or from a layer on that has fewer tokens, its number.

mod attention;

use super::{Input, Tower, input};
use crate::graph::builder::{Builder, CONTRIB, cast_to};
use crate::graph::layers::product;
use crate::graph::onnx::{Attribute, DataType};
use crate::kernels::Activation;
use crate::{Error, Result};

/// The length that texts are padded to, less one, for each: `[texts]`.
pub(crate) const LAST_PLACES: &str = "last_places";
/// That length: `[1]`.
pub(crate) const LENGTH: &str = "length";
/// The numbers from 0 to that length: `[length]`.
pub(crate) const PLACES: &str = "places";
/// Where each text's last token is among all: `[texts]`.
pub(crate) const LAST_TOKENS: &str = "last_tokens";
/// Which tokens of the stage before become each token, among all; -1 for none: `[texts, length, ratio]`.
pub(crate) const RUNS: &str = "runs";

impl Tower<'_> {
    /// How texts lie in a stage.
    pub(super) fn inputs_on_cuda(&self, graph: &Builder, stage: &str) -> Vec<Input> {
        let length = format!("length{stage}");
        let of = |name: &str, dims: &[&str]| input(&format!("{name}{stage}"), dims);
        let mut inputs = vec![of(PLACES, &[&length]), of(LAST_TOKENS, &["batch"])];
        if self.is_grouped(graph) {
            inputs.extend([of(LAST_PLACES, &["batch"]), of(LENGTH, &["1"])]);
        }
        if !stage.is_empty() {
            inputs.push(of(RUNS, &["batch", &length, "ratio"]));
        }
        inputs
    }

    /// Rows divided by the root of the mean of their squares, in float32.
    pub(super) fn normed_on_cuda(
        &self,
        graph: &mut Builder,
        name: &str,
        size: usize,
        values: &str,
        output: &str,
    ) -> Result<String> {
        let scale = self.norm_scale(graph, name, size)?;
        let scale = graph.floats(&format!("{name}.scale"), &[size], scale);
        let epsilon = [Attribute::Float("epsilon", self.decoder.rms_norm_eps)];
        Ok(graph.node("SimplifiedLayerNormalization", &[values, &scale], output, &epsilon))
    }

    /// The feed-forward part.
    pub(super) fn feed_forward_on_cuda(&self, graph: &mut Builder, number: usize, states: &str) -> Result<String> {
        let (hidden, inner) = (self.decoder.hidden_size, self.decoder.intermediate_size);
        let part = |part: &str| self.names.layer(number, &format!("mlp.{part}_proj"));
        let states = graph.narrowed(states);
        let gate = product(graph, &part("gate"), [inner, hidden], &states, &format!("layer.{number}.gate"))?;
        let up = product(graph, &part("up"), [inner, hidden], &states, &format!("layer.{number}.up"))?;
        let (operator, attributes) = match self.decoder.hidden_act {
            Activation::Silu => ("QuickGelu", vec![Attribute::Float("alpha", 1.0)]),
            Activation::GeluTanh => ("FastGelu", Vec::new()),
            other => return Err(Error::UnsupportedModel(format!("the activation {other:?} is not for CUDA"))),
        };
        let gate = graph.node_of(CONTRIB, operator, &[&gate], &format!("{gate}.activated"), &attributes);
        let wide = graph.node("Mul", &[&gate, &up], &format!("layer.{number}.wide"), &[]);
        linear(graph, &part("down"), [hidden, inner], false, &wide)
    }

    /// Runs of a passage's tokens as their mean, from this stage on.
    pub(super) fn compressed_on_cuda(&self, graph: &mut Builder, states: &str, stage: &str) -> String {
        let (runs, output) = (format!("{RUNS}{stage}"), format!("compressed{stage}"));
        let flat = rows(graph, states, self.decoder.hidden_size);
        let (zero, axis_2, axis_3) =
            (graph.scalar32("zero_32", 0), graph.constant("axis_2", &[2]), graph.constant("axis_3", &[3]));
        let mut node = |operator: &str, inputs: &[&str], name: &str, attributes: &[Attribute]| {
            graph.node(operator, inputs, &format!("{output}.{name}"), attributes)
        };
        let tokens = node("Gather", &[&flat, &runs], "tokens", &[Attribute::Int("axis", 0)]);
        let missing = node("Less", &[&runs, &zero], "missing", &[]);
        let there = node("Not", &[&missing], "there", &[]);
        let there = node("Cast", &[&there], "weights", &[cast_to(DataType::Float)]);
        let counts = node("ReduceSum", &[&there, &axis_2], "counts", &[Attribute::Int("keepdims", 1)]);
        let there = node("Unsqueeze", &[&there, &axis_3], "column", &[]);
        let tokens = node("Mul", &[&tokens, &there], "kept", &[]);
        let sums = node("ReduceSum", &[&tokens, &axis_2], "sums", &[Attribute::Int("keepdims", 0)]);
        graph.node("Div", &[&sums, &counts], &output, &[])
    }
}

/// A linear layer of narrow values; float32 comes out.
fn linear(graph: &mut Builder, name: &str, shape: [usize; 2], biased: bool, values: &str) -> Result<String> {
    let made = product(graph, name, shape, values, &format!("{name}.product"))?;
    let made = graph.float32(&made);
    if !biased {
        return Ok(made);
    }
    let name = format!("{name}.bias");
    let bias = graph.read(&name, &shape[..1])?;
    let bias = graph.floats(&name, &shape[..1], bias);
    Ok(graph.node("Add", &[&made, &bias], &format!("{name}.added"), &[]))
}

/// The last token of each text, of tokens that are so wide: `[texts, width]`.
pub(super) fn last_rows(graph: &mut Builder, values: &str, width: usize, stage: &str) -> String {
    let (flat, last) = (rows(graph, values, width), format!("{LAST_TOKENS}{stage}"));
    graph.node_once("Gather", &[&flat, &last], &format!("{values}.last"), &[Attribute::Int("axis", 0)])
}

/// All tokens, `[tokens, width]`.
fn rows(graph: &mut Builder, values: &str, width: usize) -> String {
    let shape = graph.constant(&format!("rows_{width}"), &[-1, whole(width)]);
    graph.node_once("Reshape", &[values, &shape], &format!("{values}.rows"), &[])
}

/// Bounded by `cap`, smoothly.
pub(super) fn capped(graph: &mut Builder, values: &str, cap: f32) -> String {
    let cap = graph.number(cap);
    let mut values = values.to_owned();
    for (operator, inputs) in [("Div", 2), ("Tanh", 1), ("Mul", 2)] {
        let output = format!("{values}.{operator}");
        values = graph.node(operator, &[&*values, &*cap][..inputs], &output, &[]);
    }
    values
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
