//! Attention that looks to the left only: by one operator, or spelled out.

use super::super::{Decoder, Tower};
use super::{LAST_PLACES, LENGTH, PLACES, capped, last_rows, linear, whole};
use crate::Result;
use crate::graph::builder::{Builder, CONTRIB, cast_to};
use crate::graph::layers::product;
use crate::graph::onnx::{Attribute, DataType};

/// The largest heads that `GroupQueryAttention` takes.
const LARGEST_HEAD: usize = 256;
/// Added to the scores of what is not seen: no softmax gives it any weight.
const UNSEEN: f32 = -3.4e38;

impl Tower<'_> {
    /// Whether attention is one operator: that has 16 bits only, and heads in steps of eight.
    pub(super) fn is_grouped(&self, graph: &Builder) -> bool {
        let size = self.decoder.head_dim;
        graph.half() && size.is_multiple_of(8) && size <= LARGEST_HEAD
    }

    /// What tokens take from those before them and from themselves, and the layer behind it; of the last tokens only, where it is asked for.
    pub(in super::super) fn attended_on_cuda(
        &self,
        graph: &mut Builder,
        number: usize,
        states: &str,
        last_only: bool,
        stage: &str,
    ) -> Result<String> {
        let decoder = self.decoder;
        let width = decoder.num_attention_heads * decoder.head_dim;
        let output = format!("layer.{number}.attention");
        let states = graph.narrowed(states);
        let queries = self.turned(graph, number, "q", decoder.num_attention_heads, &states, stage)?;
        let keys = self.turned(graph, number, "k", decoder.num_key_value_heads, &states, stage)?;
        let values = self.values(graph, number, &states)?;
        let mut taken = if self.is_grouped(graph) {
            let [queries, keys] = [queries, keys].map(|turned| graph.narrowed(&turned));
            self.grouped(graph, number, [&queries, &keys, &values], &output, stage)
        } else {
            let values = graph.float32(&values);
            let taken = self.spelled_out(graph, number, [&queries, &keys, &values], &output, stage);
            graph.narrowed(&taken)
        };
        if last_only {
            taken = last_rows(graph, &taken, width, stage);
        }
        let name = self.names.layer(number, "self_attn.o_proj");
        linear(graph, &name, [decoder.hidden_size, width], decoder.o_bias, &taken)
    }

    fn values(&self, graph: &mut Builder, number: usize, states: &str) -> Result<String> {
        let &Decoder { hidden_size: hidden, num_key_value_heads: heads, head_dim: size, qkv_bias, .. } = self.decoder;
        let (name, shape) = (self.names.layer(number, "self_attn.v_proj"), [heads * size, hidden]);
        if !qkv_bias {
            return product(graph, &name, shape, states, &format!("{name}.product"));
        }
        let values = linear(graph, &name, shape, true, states)?;
        Ok(graph.narrowed(&values))
    }

    /// Queries or keys in float32, turned by their places. Angles are made once a stage, and rounded where torch rounds them.
    fn turned(
        &self,
        graph: &mut Builder,
        number: usize,
        part: &str,
        heads: usize,
        states: &str,
        stage: &str,
    ) -> Result<String> {
        let name = self.names.layer(number, &format!("self_attn.{part}"));
        let shape = [heads * self.decoder.head_dim, self.decoder.hidden_size];
        let mut values = linear(graph, &format!("{name}_proj"), shape, self.decoder.qkv_bias, states)?;
        if self.decoder.query_key_norms {
            values = self.head_norm(graph, &format!("{name}_norm"), heads, &values)?;
        }
        let inverse = graph.floats("rotary.inverse", &[1, self.rotary.len()], self.rotary.clone());
        let places = column_of_places(graph, stage);
        let angles = graph.node_once("Mul", &[&places, &inverse], &format!("rotary.angles{stage}"), &[]);
        let cosines = graph.node_once("Cos", &[&angles], &format!("rotary.cosines{stage}"), &[]);
        let sines = graph.node_once("Sin", &[&angles], &format!("rotary.sines{stage}"), &[]);
        let first = graph.constant("first_place", &[0]);
        let inputs = [&*values, &*first, &*cosines, &*sines];
        Ok(graph.node_of(CONTRIB, "RotaryEmbedding", &inputs, &format!("{values}.turned"), &[]))
    }

    /// Each head normalized by itself.
    fn head_norm(&self, graph: &mut Builder, name: &str, heads: usize, values: &str) -> Result<String> {
        let size = self.decoder.head_dim;
        let apart = graph.constant(&format!("heads_{heads}"), &[0, 0, whole(heads), whole(size)]);
        let together = graph.constant(&format!("width_{}", heads * size), &[0, 0, whole(heads * size)]);
        let heads = graph.node("Reshape", &[values, &apart], &format!("{name}.heads"), &[]);
        let normed = self.normed_on_cuda(graph, name, size, &heads, &format!("{name}.normed"))?;
        Ok(graph.node("Reshape", &[&normed, &together], &format!("{name}.all"), &[]))
    }

    /// By the operator that has a flash kernel.
    fn grouped(
        &self,
        graph: &mut Builder,
        number: usize,
        [queries, keys, values]: [&str; 3],
        output: &str,
        stage: &str,
    ) -> String {
        let decoder = self.decoder;
        let mut attributes = vec![
            Attribute::Int("num_heads", whole(decoder.num_attention_heads)),
            Attribute::Int("kv_num_heads", whole(decoder.num_key_value_heads)),
            Attribute::Float("scale", decoder.score_scale),
        ];
        attributes.extend(decoder.score_cap.map(|cap| Attribute::Float("softcap", cap)));
        attributes.extend(decoder.windows[number].map(|window| Attribute::Int("local_window_size", whole(window))));
        // It writes keys and values for later tokens whether somebody wants them or not.
        let outputs = [output, &format!("{output}.keys"), &format!("{output}.values")];
        let lengths = [LAST_PLACES, LENGTH].map(|name| format!("{name}{stage}"));
        let inputs = [queries, keys, values, "", "", &lengths[0], &lengths[1]];
        graph.node_with(CONTRIB, "GroupQueryAttention", &inputs, &outputs, &attributes)
    }

    /// In float32, with all scores in memory.
    fn spelled_out(
        &self,
        graph: &mut Builder,
        number: usize,
        [queries, keys, values]: [&str; 3],
        output: &str,
        stage: &str,
    ) -> String {
        let &Decoder { num_attention_heads: heads, num_key_value_heads: asked, head_dim: size, .. } = self.decoder;
        let scale = graph.number(self.decoder.score_scale);
        let queries = graph.node("Mul", &[queries, &scale], &format!("{output}.scaled"), &[]);
        let queries = by_head(graph, &queries, [asked, heads / asked, size], &[0, 2, 3, 1, 4]);
        let keys = by_head(graph, keys, [asked, 1, size], &[0, 2, 3, 4, 1]);
        let values = by_head(graph, values, [asked, 1, size], &[0, 2, 3, 1, 4]);
        let mut scores = graph.node("MatMul", &[&queries, &keys], &format!("{output}.scores"), &[]);
        if let Some(cap) = self.decoder.score_cap {
            scores = capped(graph, &scores, cap);
        }
        let unseen = unseen(graph, self.decoder.windows[number], stage);
        let scores = graph.node("Add", &[&scores, &unseen], &format!("{output}.masked"), &[]);
        let last = [Attribute::Int("axis", -1)];
        let weights = graph.node("Softmax", &[&scores], &format!("{output}.weights"), &last);
        let taken = graph.node("MatMul", &[&weights, &values], &format!("{output}.taken"), &[]);
        let by_token = [Attribute::Ints("perm", &[0, 3, 1, 2, 4])];
        let taken = graph.node("Transpose", &[&taken], &format!("{output}.by_token"), &by_token);
        let width = graph.constant(&format!("width_{}", heads * size), &[0, 0, whole(heads * size)]);
        graph.node("Reshape", &[&taken, &width], output, &[])
    }
}

/// `[texts, length, width]` as `[texts, heads that are asked, those that share them, length, size]`, in this order.
fn by_head(graph: &mut Builder, values: &str, [asked, sharing, size]: [usize; 3], order: &'static [i64]) -> String {
    let shape = [0, 0, whole(asked), whole(sharing), whole(size)];
    let shape = graph.constant(&format!("heads_{asked}_{sharing}"), &shape);
    let heads = graph.node("Reshape", &[values, &shape], &format!("{values}.heads"), &[]);
    graph.node("Transpose", &[&heads], &format!("{values}.by_head"), &[Attribute::Ints("perm", order)])
}

/// What is added to the scores of two places, `[length, length]`: nothing to those that are seen.
fn unseen(graph: &mut Builder, window: Option<usize>, stage: &str) -> String {
    let name = window.map_or(format!("unseen{stage}"), |window| format!("unseen_{window}{stage}"));
    let (column, row) = (column_of_places(graph, stage), row_of_places(graph, stage));
    let distance = graph.node_once("Sub", &[&column, &row], &format!("distances{stage}"), &[]);
    let (zero, least) = (graph.number(0.0), graph.number(UNSEEN));
    let mut hidden = graph.node_once("Less", &[&distance, &zero], &format!("behind{stage}"), &[]);
    if let Some(window) = window {
        #[expect(clippy::cast_precision_loss, reason = "windows are far below 16 million tokens")]
        let farthest = graph.number((window - 1) as f32);
        let before = graph.node_once("Less", &[&farthest, &distance], &format!("{name}.before"), &[]);
        hidden = graph.node_once("Or", &[&hidden, &before], &format!("{name}.hidden"), &[]);
    }
    graph.node_once("Where", &[&hidden, &least, &zero], &name, &[])
}

/// Places as float32, `[length]`.
fn row_of_places(graph: &mut Builder, stage: &str) -> String {
    let output = format!("places.float32{stage}");
    graph.node_once("Cast", &[&format!("{PLACES}{stage}")], &output, &[cast_to(DataType::Float)])
}

/// The same, `[length, 1]`.
fn column_of_places(graph: &mut Builder, stage: &str) -> String {
    let (row, axis) = (row_of_places(graph, stage), graph.constant("axis_1", &[1]));
    graph.node_once("Unsqueeze", &[&row, &axis], &format!("places.column{stage}"), &[])
}
