//! What tells the architectures of encoders apart: a row each. What they share is in `bert.rs`.

use crate::batch::Positions;
use crate::{Error, Result};

/// An encoder's architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Architecture {
    /// How `config.json` calls it.
    pub model_type: &'static str,
    /// How it numbers positions.
    pub positions: Positions,
    /// What the names of its tensors start with where it was saved inside a model with a head.
    pub(super) prefix: &'static str,
    /// Whether the second text of a pair has token type 1; else every token has type 0.
    pub(super) typed_pairs: bool,
    /// How a reranker's score is made of the first row.
    pub(super) classifier: Classifier,
}

/// dense, tanh, projection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Classifier {
    /// The dense layer is part of the encoder, as its pooler.
    pub pooler: bool,
    pub dense: &'static str,
    pub projection: &'static str,
}

static ALL: [Architecture; 2] = [
    Architecture {
        model_type: "bert",
        positions: Positions::FromZero,
        prefix: "bert.",
        typed_pairs: true,
        classifier: Classifier { pooler: true, dense: "pooler.dense", projection: "classifier" },
    },
    Architecture {
        model_type: "xlm-roberta",
        positions: Positions::AfterPad,
        prefix: "roberta.",
        typed_pairs: false,
        classifier: Classifier { pooler: false, dense: "classifier.dense", projection: "classifier.out_proj" },
    },
];

impl Architecture {
    /// The architecture that `config.json` calls so.
    ///
    /// # Errors
    /// [`Error::Value`] for one that has no row.
    pub fn named(model_type: &str) -> Result<&'static Self> {
        let found = ALL.iter().find(|row| row.model_type == model_type);
        found.ok_or_else(|| Error::Value(format!("unknown architecture {model_type:?}")))
    }
}

/// The sizes of an encoder, as `config.json` gives them.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Whose sizes these are.
    pub architecture: &'static Architecture,
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Length of a hidden state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads; they divide `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// Rows of the token type table.
    pub type_vocab_size: usize,
    /// Added to the variance in each `LayerNorm`.
    pub layer_norm_eps: f32,
}
