//! What decoders call their tensors, and the shapes that these have.

use super::{Decoder, Head};
use crate::graph::Form;
use crate::outputs::Part;
use crate::weights::Weights;
use crate::{Error, Result};

const WORDS: &str = "embed_tokens.weight";

/// What the names of a decoder's tensors start with: it was saved alone or inside a model with a head.
pub(super) struct Names {
    prefix: &'static str,
}

impl Names {
    pub fn new(weights: &Weights) -> Result<Self> {
        let found = ["model.", ""].into_iter().find(|prefix| weights.contains(&format!("{prefix}{WORDS}")));
        let lacking =
            || Error::ModelFormat(weights.lacking(&format!("without a decoder: no {WORDS}, alone or after model.")));
        Ok(Self { prefix: found.ok_or_else(lacking)? })
    }

    pub fn words(&self) -> String {
        format!("{}{WORDS}", self.prefix)
    }

    /// Of the norm behind the last layer, without `.weight`.
    pub fn last_norm(&self) -> String {
        format!("{}norm", self.prefix)
    }

    /// Of a part of a layer.
    pub fn layer(&self, number: usize, part: &str) -> String {
        format!("{}layers.{number}.{part}", self.prefix)
    }

    /// Of the matrix whose row makes the score after so many layers, the `place`-th of those that are asked for; and which row.
    pub fn head(&self, head: Head, layers: usize, place: usize) -> (String, usize) {
        let numbered = |number: usize| (format!("lm_head.{number}.linear_head.weight"), 0);
        match head {
            Head::Word { tied: true, id } => (self.words(), id),
            Head::Word { tied: false, id } => ("lm_head.weight".into(), id),
            Head::ByLayer { first } => numbered(layers - first),
            Head::ByPlace => numbered(place),
            Head::One => ("lm_head.linear_head.weight".into(), 0),
        }
    }

    /// Sees that all tensors that a form needs are there, and have the right shapes.
    pub fn check(&self, decoder: &Decoder, weights: &Weights, form: Form) -> Result<()> {
        let hidden = decoder.hidden_size;
        let cutoffs = form.depth.cutoffs(decoder.num_hidden_layers);
        let mut tensors = vec![(self.words(), vec![decoder.vocab_size, hidden])];
        for number in 0..cutoffs[cutoffs.len() - 1] {
            tensors.extend(layer(decoder).into_iter().map(|(part, shape)| (self.layer(number, part), shape)));
        }
        tensors.push((format!("{}.weight", self.last_norm()), vec![hidden]));
        if form.outputs.contains(Part::Logits) {
            for (place, &layers) in cutoffs.iter().enumerate() {
                let rows = if let Head::Word { .. } = decoder.head { decoder.vocab_size } else { 1 };
                tensors.push((self.head(decoder.head, layers, place).0, vec![rows, hidden]));
            }
        }
        tensors.iter().try_for_each(|(name, shape)| weights.find(name, shape).map(|_| ()))
    }
}

/// Tensors of a layer, with their shapes.
fn layer(decoder: &Decoder) -> Vec<(&'static str, Vec<usize>)> {
    let &Decoder { hidden_size: hidden, intermediate_size: inner, head_dim: size, .. } = decoder;
    let (asking, asked) = (decoder.num_attention_heads * size, decoder.num_key_value_heads * size);
    let mut tensors = vec![
        ("self_attn.q_proj.weight", vec![asking, hidden]),
        ("self_attn.k_proj.weight", vec![asked, hidden]),
        ("self_attn.v_proj.weight", vec![asked, hidden]),
        ("self_attn.o_proj.weight", vec![hidden, asking]),
        ("mlp.gate_proj.weight", vec![inner, hidden]),
        ("mlp.up_proj.weight", vec![inner, hidden]),
        ("mlp.down_proj.weight", vec![hidden, inner]),
        ("input_layernorm.weight", vec![hidden]),
        ("post_attention_layernorm.weight", vec![hidden]),
    ];
    if decoder.norms_after {
        tensors.push(("pre_feedforward_layernorm.weight", vec![hidden]));
        tensors.push(("post_feedforward_layernorm.weight", vec![hidden]));
    }
    if decoder.query_key_norms {
        tensors.push(("self_attn.q_norm.weight", vec![size]));
        tensors.push(("self_attn.k_norm.weight", vec![size]));
    }
    if decoder.qkv_bias {
        tensors.push(("self_attn.q_proj.bias", vec![asking]));
        tensors.push(("self_attn.k_proj.bias", vec![asked]));
        tensors.push(("self_attn.v_proj.bias", vec![asked]));
    }
    if decoder.o_bias {
        tensors.push(("self_attn.o_proj.bias", vec![hidden]));
    }
    tensors
}
