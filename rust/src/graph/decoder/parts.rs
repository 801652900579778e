//! The parts of a decoder as nodes, on tokens `[1, tokens, hidden]`.

use super::Tower;
use crate::Result;
use crate::graph::builder::Builder;
use crate::graph::onnx::Attribute;
use crate::prepared::{CausalLayer, GatedLayer, Layer, LinearNames, RmsNormLayer};

impl Tower<'_> {
    /// Words, as wide as hidden states.
    pub fn embeddings(&self, graph: &mut Builder) -> Result<String> {
        let shape = [self.decoder.vocab_size, self.decoder.hidden_size];
        let words = graph.rows(&self.names.words(), &shape, "input_ids", "words")?;
        Ok(self.times(graph, &words, self.decoder.embedding_scale))
    }

    /// A layer. Keys and values need every token; where only the last one of each text is asked for, nothing else does.
    pub fn layer(
        &self,
        graph: &mut Builder,
        number: usize,
        states: &str,
        starts: &str,
        last_tokens: bool,
    ) -> Result<String> {
        let value = format!("layer.{number}");
        let normed = self.norm(graph, &self.names.layer(number, "input_layernorm"), states)?;
        let (asking, states) = if last_tokens {
            (self.last_tokens(graph, &normed, starts), self.last_tokens(graph, states, starts))
        } else {
            (normed.clone(), states.to_owned())
        };
        let taken = self.attention(graph, number, [&asking, &normed], starts)?;
        let after = self.decoder.norms_after.then_some("post_attention_layernorm");
        let states = self.added(graph, number, &states, &taken, after)?;

        let before = if self.decoder.norms_after { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
        let normed = self.norm(graph, &self.names.layer(number, before), &states)?;
        let wide = self.feed_forward(graph, number, &normed, &format!("{value}.feed_forward"))?;
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
        let decoder = self.decoder;
        let name = |part| self.names.layer(number, part);
        let [query, key, value] = ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj")));
        let size = decoder.head_dim;
        let (asking_width, asked_width) = (decoder.num_attention_heads * size, decoder.num_key_value_heads * size);
        let head_norm = |part| -> Result<Option<RmsNormLayer>> {
            decoder.query_key_norms.then(|| self.norm_layer(&name(part), size)).transpose()
        };
        let layer = CausalLayer {
            heads: decoder.num_attention_heads,
            key_heads: decoder.num_key_value_heads,
            size,
            scale: decoder.score_scale,
            cap: decoder.score_cap,
            window: decoder.windows[number],
            rotary: self.prepared.rotary(size, decoder.rope_theta, decoder.rope_factor),
            query_norm: head_norm("self_attn.q_norm")?,
            key_norm: head_norm("self_attn.k_norm")?,
        };
        let output = format!("layer.{number}.attention");
        let mut linear = |names: &[&str], heights: &[usize], values: &str, output: &str| {
            let names = LinearNames { biased: decoder.qkv_bias, ..self.in_place(names, heights, decoder.hidden_size) };
            Ok::<_, crate::Error>(graph.layer("Linear", Layer::Linear(self.prepared.linear(names)?), &[values], output))
        };
        let inputs = if asking == states {
            let heights = [asking_width, asked_width, asked_width];
            vec![linear(&[&query, &key, &value], &heights, states, &format!("{output}.product"))?]
        } else {
            let queries = linear(&[&query], &[asking_width], asking, &format!("{output}.queries"))?;
            let heights = [asked_width; 2];
            vec![queries, linear(&[&key, &value], &heights, states, &format!("{output}.keys_and_values"))?]
        };
        let inputs: Vec<&str> = std::iter::once(starts).chain(inputs.iter().map(String::as_str)).collect();
        let taken = graph.layer("CausalAttention", Layer::Causal(layer), &inputs, &output);
        let names = [&*name("self_attn.o_proj")];
        let names = LinearNames {
            biased: decoder.o_bias,
            ..self.in_place(&names, &[decoder.hidden_size], asking_width)
        };
        let linear = Layer::Linear(self.prepared.linear(names)?);
        Ok(graph.layer("Linear", linear, &[&taken], &format!("{output}.output")))
    }

    fn feed_forward(&self, graph: &mut Builder, number: usize, states: &str, output: &str) -> Result<String> {
        let (hidden, inner) = (self.decoder.hidden_size, self.decoder.intermediate_size);
        let [gate, up, down] = ["gate", "up", "down"].map(|part| self.names.layer(number, &format!("mlp.{part}_proj")));
        let layer = GatedLayer {
            gate: self.prepared.linear(self.in_place(&[&gate], &[inner], hidden))?,
            up: self.prepared.linear(self.in_place(&[&up], &[inner], hidden))?,
            down: self.prepared.linear(self.in_place(&[&down], &[hidden], inner))?,
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
        let made = self.times(graph, &made, self.decoder.residual_scale);
        Ok(graph.node("Add", &[states, &made], &format!("{made}.added"), &[]))
    }

    pub fn norm(&self, graph: &mut Builder, name: &str, states: &str) -> Result<String> {
        let layer = self.norm_layer(name, self.decoder.hidden_size)?;
        let places = states.rsplit_once('/').map_or(states, |(_, last)| last);
        Ok(graph.layer("RmsNorm", Layer::RmsNorm(layer), &[states], &format!("{name}/{places}")))
    }

    fn norm_layer(&self, name: &str, size: usize) -> Result<RmsNormLayer> {
        let mut scale = self.prepared.numbers(&format!("{name}.weight"), &[size])?;
        if self.decoder.norms_from_one {
            scale.iter_mut().for_each(|weight| *weight += 1.0);
        }
        Ok(RmsNormLayer { scale, epsilon: self.decoder.rms_norm_eps })
    }

    /// The last token of each text.
    pub fn last_tokens(&self, graph: &mut Builder, states: &str, starts: &str) -> String {
        let (second, end, one) = (graph.constant("second", &[1]), graph.constant("end", &[i64::MAX]), graph.constant("one", &[1]));
        let ends = graph.node_once("Slice", &[starts, &second, &end], &format!("{starts}.ends"));
        let places = graph.node_once("Sub", &[&ends, &one], &format!("{starts}.last"));
        graph.node("Gather", &[states, &places], &format!("{states}.last"), &[Attribute::Int("axis", 1)])
    }

    fn times(&self, graph: &mut Builder, values: &str, scale: f32) -> String {
        // Where it is 1 there is no node.
        if scale.to_bits() == 1f32.to_bits() {
            return values.to_owned();
        }
        let scale = graph.number(scale);
        graph.node("Mul", &[values, &scale], &format!("{values}.scaled"), &[])
    }

    /// Linear layers whose rows are multiplied where they lie in the checkpoint.
    fn in_place<'n>(&self, layers: &'n [&'n str], heights: &'n [usize], width: usize) -> LinearNames<'n> {
        LinearNames { layers, heights, width, biased: false, activation: None, exact: false, in_place: true }
    }
}
