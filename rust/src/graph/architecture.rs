//! What tells the architectures of encoders apart: a row each. What they share is in `bert.rs`.

use super::activation::Activation;
use super::names::{self, LayerNames};
use crate::batch::Positions;
use crate::{Error, Result};

/// An encoder's architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Architecture {
    /// The `model_type` of the first that had this graph.
    pub model_type: &'static str,
    /// How it numbers positions.
    pub positions: Positions,
    /// What the token types of its texts are.
    pub token_types: TokenTypes,
    /// What the names of its tensors start with where it was saved inside a model with a head.
    pub(super) prefix: &'static str,
    pub(super) layer: &'static LayerNames,
    /// The table of what the distance of two tokens adds to their score, of a row for each range of distances.
    pub(super) distances: Option<&'static str>,
    /// How a reranker's score is made of the first row.
    pub(super) classifier: Classifier,
}

/// What the token types of an encoder's texts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenTypes {
    /// It has none.
    None,
    /// 0 for every token.
    Zero,
    /// 1 for the second text of a pair, else 0.
    OfPairs,
}

/// dense, activation, projection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Classifier {
    /// The dense layer is part of the encoder, as its pooler.
    pub pooler: bool,
    pub dense: &'static str,
    pub activation: Activation,
    pub projection: &'static str,
}

const ROBERTA_CLASSIFIER: Classifier = Classifier {
    pooler: false,
    dense: "classifier.dense",
    activation: Activation::Tanh,
    projection: "classifier.out_proj",
};

static ALL: [Architecture; 5] = [
    Architecture {
        model_type: "bert",
        positions: Positions::FromZero,
        token_types: TokenTypes::OfPairs,
        prefix: "bert.",
        layer: &names::BERT,
        distances: None,
        classifier: Classifier {
            pooler: true,
            dense: "pooler.dense",
            activation: Activation::Tanh,
            projection: "classifier",
        },
    },
    Architecture {
        model_type: "xlm-roberta",
        positions: Positions::AfterPad,
        token_types: TokenTypes::Zero,
        prefix: "roberta.",
        layer: &names::BERT,
        distances: None,
        classifier: ROBERTA_CLASSIFIER,
    },
    Architecture {
        model_type: "distilbert",
        positions: Positions::FromZero,
        token_types: TokenTypes::None,
        prefix: "distilbert.",
        layer: &names::DISTILBERT,
        distances: None,
        classifier: Classifier {
            pooler: false,
            dense: "pre_classifier",
            activation: Activation::Relu,
            projection: "classifier",
        },
    },
    Architecture {
        model_type: "electra",
        positions: Positions::FromZero,
        token_types: TokenTypes::OfPairs,
        prefix: "electra.",
        layer: &names::BERT,
        distances: None,
        classifier: Classifier { activation: Activation::Gelu, ..ROBERTA_CLASSIFIER },
    },
    Architecture {
        model_type: "mpnet",
        positions: Positions::AfterPad,
        token_types: TokenTypes::None,
        prefix: "mpnet.",
        layer: &names::MPNET,
        distances: Some("encoder.relative_attention_bias.weight"),
        classifier: ROBERTA_CLASSIFIER,
    },
];

impl Architecture {
    /// The architecture of this name.
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
    /// Length of a row of the tables; where it is not `hidden_size`, the sum of the rows is projected.
    pub embedding_size: usize,
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
    /// Rows of the token type table, where there is one.
    pub type_vocab_size: usize,
    /// Added to the variance in each `LayerNorm`.
    pub layer_norm_eps: f32,
    /// Between the two layers of the feed-forward part.
    pub hidden_act: Activation,
}
