//! The parts of a decoder as nodes of operators of our own, on tokens `[1, tokens, hidden]`; on CUDA as those of `cuda.rs`.

use std::ops::Range;

use super::cuda::last_rows;
use super::{Decoder, Tower, past};
use crate::graph::builder::Builder;
use crate::graph::onnx::Attribute;
use crate::prepared::{CausalLayer, GatedLayer, Layer, LinearNames, Prepared, RmsNormLayer};
use crate::{Error, Result};

impl Tower<'_> {
    /// Words, as wide as hidden states.
    pub fn embeddings(&self, graph: &mut Builder) -> Result<String> {
        let shape = [self.decoder.vocab_size, self.decoder.hidden_size];
        let words = graph.rows(&self.names.words(), &shape, "input_ids", "words")?;
        let words = graph.float32(&words);
        Ok(times(graph, &words, self.decoder.embedding_scale))
    }

    /// A layer. Keys and values need every token; where only the last one of each text is asked for, nothing else does.
    pub fn layer(
        &self,
        graph: &mut Builder,
        number: usize,
        states: &str,
        starts: &str,
        last_only: bool,
    ) -> Result<String> {
        let value = format!("layer.{number}");
        let normed = self.norm(graph, &self.names.layer(number, "input_layernorm"), states)?;
        let states = if last_only { self.last_tokens(graph, states, starts) } else { states.to_owned() };
        let taken = if graph.on_cuda() {
            self.attended_on_cuda(graph, number, &normed, last_only, starts)?
        } else {
            let asking = if last_only { self.last_tokens(graph, &normed, starts) } else { normed.clone() };
            self.attention(graph, number, [&asking, &normed], starts)?
        };
        let after = self.decoder.norms_after.then_some("post_attention_layernorm");
        let states = self.added(graph, number, &states, &taken, after)?;

        let before = if self.decoder.norms_after { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
        let normed = self.norm(graph, &self.names.layer(number, before), &states)?;
        let wide = if graph.on_cuda() {
            self.feed_forward_on_cuda(graph, number, &normed)?
        } else {
            self.feed_forward(graph, number, &normed, &format!("{value}.feed_forward"))?
        };
        let after = self.decoder.norms_after.then_some("post_feedforward_layernorm");
        self.added(graph, number, &states, &wide, after)
    }

    /// What tokens take from those before them and from themselves.
    fn attention(
        &self,
        graph: &mut Builder,
        number: usize,
        [asking, states]: [&str; 2],
        starts: &str,
    ) -> Result<String> {
        let output = format!("layer.{number}.attention");
        let projected = if asking == states && !self.apart {
            vec![self.project(graph, number, 0..3, states, &format!("{output}.product"))?]
        } else {
            let queries = self.project(graph, number, 0..1, asking, &format!("{output}.queries"))?;
            let asked = self.keys_and_values(graph, number, states)?;
            vec![queries, if self.past { past::behind(graph, number, &asked) } else { asked }]
        };
        let inputs: Vec<&str> = std::iter::once(starts).chain(projected.iter().map(String::as_str)).collect();
        let causal = self.causal(graph, number)?;
        let taken = graph.layer("CausalAttention", Layer::Causal(causal), &inputs, &output);
        let (name, biased) = (self.names.layer(number, "self_attn.o_proj"), self.decoder.o_bias);
        let width = self.decoder.num_attention_heads * self.decoder.head_dim;
        let (layers, heights) = ([&*name], [self.decoder.hidden_size]);
        let names = LinearNames { biased, ..in_place(&layers, &heights, width) };
        linear(graph, names, &taken, &format!("{output}.output"))
    }

    /// Keys and values of all tokens, side by side.
    pub fn keys_and_values(&self, graph: &mut Builder, number: usize, states: &str) -> Result<String> {
        self.project(graph, number, 1..3, states, &asked(number))
    }

    /// Of queries, keys and values those of these places, side by side.
    fn project(
        &self,
        graph: &mut Builder,
        number: usize,
        parts: Range<usize>,
        states: &str,
        output: &str,
    ) -> Result<String> {
        let Decoder { hidden_size, num_attention_heads, num_key_value_heads, head_dim, qkv_bias: biased, .. } =
            *self.decoder;
        let names = ["q", "k", "v"].map(|part| self.names.layer(number, &format!("self_attn.{part}_proj")));
        let names = names.each_ref().map(String::as_str);
        let heights = [num_attention_heads, num_key_value_heads, num_key_value_heads].map(|heads| heads * head_dim);
        let names = LinearNames { biased, ..in_place(&names[parts.clone()], &heights[parts], hidden_size) };
        linear(graph, names, states, output)
    }

    fn causal(&self, graph: &Builder, number: usize) -> Result<CausalLayer> {
        let decoder = self.decoder;
        let size = decoder.head_dim;
        let head_norm = |part| {
            let norm = || self.norm_layer(graph, &self.names.layer(number, part), size);
            decoder.query_key_norms.then(norm).transpose()
        };
        Ok(CausalLayer {
            heads: decoder.num_attention_heads,
            key_heads: decoder.num_key_value_heads,
            size,
            scale: decoder.score_scale,
            cap: decoder.score_cap,
            window: decoder.windows[number],
            rotary: prepared(graph)?.rotary(size, decoder.rope_theta, decoder.rope_factor),
            query_norm: head_norm("self_attn.q_norm")?,
            key_norm: head_norm("self_attn.k_norm")?,
        })
    }

    fn feed_forward(&self, graph: &mut Builder, number: usize, states: &str, output: &str) -> Result<String> {
        let (hidden, inner) = (self.decoder.hidden_size, self.decoder.intermediate_size);
        let [gate, up, down] = ["gate", "up", "down"].map(|part| self.names.layer(number, &format!("mlp.{part}_proj")));
        let prepared = prepared(graph)?;
        let layer = GatedLayer {
            gate: prepared.linear(in_place(&[&gate], &[inner], hidden))?,
            up: prepared.linear(in_place(&[&up], &[inner], hidden))?,
            down: prepared.linear(in_place(&[&down], &[hidden], inner))?,
            activation: self.decoder.hidden_act,
        };
        Ok(graph.layer("GatedFeedForward", Layer::Gated(layer), &[states], output))
    }

    /// `states` and what a part of a layer made of them.
    fn added(
        &self,
        graph: &mut Builder,
        number: usize,
        states: &str,
        made: &str,
        norm: Option<&str>,
    ) -> Result<String> {
        let made = match norm {
            Some(norm) => self.norm(graph, &self.names.layer(number, norm), made)?,
            None => made.to_owned(),
        };
        let made = times(graph, &made, self.decoder.residual_scale);
        Ok(graph.node("Add", &[states, &made], &format!("{made}.added"), &[]))
    }

    pub fn norm(&self, graph: &mut Builder, name: &str, states: &str) -> Result<String> {
        let size = self.decoder.hidden_size;
        let places = states.rsplit_once('/').map_or(states, |(_, last)| last);
        let output = format!("{name}/{places}");
        if graph.on_cuda() {
            return self.normed_on_cuda(graph, name, size, states, &output);
        }
        let layer = self.norm_layer(graph, name, size)?;
        Ok(graph.layer("RmsNorm", Layer::RmsNorm(layer), &[states], &output))
    }

    fn norm_layer(&self, graph: &Builder, name: &str, size: usize) -> Result<RmsNormLayer> {
        Ok(RmsNormLayer { scale: self.norm_scale(graph, name, size)?, epsilon: self.decoder.rms_norm_eps })
    }

    /// What a norm multiplies by.
    pub fn norm_scale(&self, graph: &Builder, name: &str, size: usize) -> Result<Vec<f32>> {
        let mut scale = graph.read(&format!("{name}.weight"), &[size])?;
        if self.decoder.norms_from_one {
            for weight in &mut scale {
                *weight += 1.0;
            }
        }
        Ok(scale)
    }

    /// The last token of each text.
    pub fn last_tokens(&self, graph: &mut Builder, states: &str, starts: &str) -> String {
        if graph.on_cuda() {
            return last_rows(graph, states, self.decoder.hidden_size, starts);
        }
        last_of_packed(graph, states, starts)
    }
}

/// What numbers of our own operators come from.
fn prepared<'a>(graph: &Builder<'a>) -> Result<&'a Prepared> {
    graph.ours().ok_or_else(|| Error::Internal("a layer of our own without its numbers".into()))
}

fn linear(graph: &mut Builder, names: LinearNames, values: &str, output: &str) -> Result<String> {
    let layer = Layer::Linear(prepared(graph)?.linear(names)?);
    Ok(graph.layer("Linear", layer, &[values], output))
}

/// What the keys and values of a layer are called.
pub(super) fn asked(number: usize) -> String {
    format!("layer.{number}.attention.keys_and_values")
}

/// Linear layers whose rows are multiplied where they lie in the checkpoint.
fn in_place<'n>(layers: &'n [&'n str], heights: &'n [usize], width: usize) -> LinearNames<'n> {
    LinearNames { in_place: true, ..LinearNames::of(layers, heights, width) }
}

fn last_of_packed(graph: &mut Builder, states: &str, starts: &str) -> String {
    let (second, end, one) =
        (graph.constant("second", &[1]), graph.constant("end", &[i64::MAX]), graph.constant("one", &[1]));
    let ends = graph.node_once("Slice", &[starts, &second, &end], &format!("{starts}.ends"), &[]);
    let places = graph.node_once("Sub", &[&ends, &one], &format!("{starts}.last"), &[]);
    graph.node_once("Gather", &[states, &places], &format!("{states}.last"), &[Attribute::Int("axis", 1)])
}

fn times(graph: &mut Builder, values: &str, scale: f32) -> String {
    // Where it is 1 there is no node.
    if scale.to_bits() == 1f32.to_bits() {
        return values.to_owned();
    }
    let scale = graph.number(scale);
    graph.node("Mul", &[values, &scale], &format!("{values}.scaled"), &[])
}
