//! The sizes of a decoder.

use pyo3::prelude::*;

use crate::graph::{Activation, Decoder, Head};
use crate::{Error, Result};

/// What a decoder's graph follows from.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
#[expect(clippy::struct_excessive_bools, reason = "architectures differ in so many ways")]
pub(super) struct DecoderSizes {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    intermediate_size: usize,
    hidden_act: String,
    rms_norm_eps: f32,
    norms_from_one: bool,
    norms_after: bool,
    query_key_norms: bool,
    rope_theta: f64,
    rope_factor: f64,
    qkv_bias: bool,
    o_bias: bool,
    score_scale: f32,
    score_cap: Option<f32>,
    logit_cap: Option<f32>,
    embedding_scale: f32,
    residual_scale: f32,
    windows: Vec<Option<usize>>,
    heads: String,
    tied: bool,
    first_cutoff: usize,
}

impl TryFrom<DecoderSizes> for Decoder {
    type Error = Error;

    fn try_from(sizes: DecoderSizes) -> Result<Self> {
        let head = match sizes.heads.as_str() {
            "vocabulary" => Head::Word { tied: sizes.tied, id: 0 },
            "by layer" => Head::ByLayer { first: sizes.first_cutoff },
            "by place" => Head::ByPlace,
            "one" => Head::One,
            other => return Err(Error::Value(format!("unknown heads {other:?}"))),
        };
        if sizes.windows.len() != sizes.num_hidden_layers {
            return Err(Error::Value("a window for each layer, or None".into()));
        }
        Ok(Self {
            vocab_size: sizes.vocab_size,
            hidden_size: sizes.hidden_size,
            num_hidden_layers: sizes.num_hidden_layers,
            num_attention_heads: sizes.num_attention_heads,
            num_key_value_heads: sizes.num_key_value_heads,
            head_dim: sizes.head_dim,
            intermediate_size: sizes.intermediate_size,
            hidden_act: Activation::named(&sizes.hidden_act)?,
            rms_norm_eps: sizes.rms_norm_eps,
            norms_from_one: sizes.norms_from_one,
            norms_after: sizes.norms_after,
            query_key_norms: sizes.query_key_norms,
            rope_theta: sizes.rope_theta,
            rope_factor: sizes.rope_factor,
            qkv_bias: sizes.qkv_bias,
            o_bias: sizes.o_bias,
            score_scale: sizes.score_scale,
            score_cap: sizes.score_cap,
            logit_cap: sizes.logit_cap,
            embedding_scale: sizes.embedding_scale,
            residual_scale: sizes.residual_scale,
            windows: sizes.windows,
            head,
        })
    }
}
