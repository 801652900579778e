//! What tells decoders apart.

use crate::kernels::Activation;

/// The sizes and switches of a decoder, as `config.json` and its architecture give them.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "architectures differ in so many ways")]
pub struct Decoder {
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Length of a hidden state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads that ask.
    pub num_attention_heads: usize,
    /// Heads that are asked: each by as many of the others, next to each other.
    pub num_key_value_heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Of the gate of the feed-forward part.
    pub hidden_act: Activation,
    /// Added to the mean of squares in each norm.
    pub rms_norm_eps: f32,
    /// Weights of norms are what is added to 1.
    pub norms_from_one: bool,
    /// What attention and feed-forward part give is normalized before it is added.
    pub norms_after: bool,
    /// Queries and keys are normalized, head by head.
    pub query_key_norms: bool,
    /// Base of the rotary positions' wave lengths.
    pub rope_theta: f64,
    /// Positions are divided by it.
    pub rope_factor: f64,
    /// Queries, keys and values have biases.
    pub qkv_bias: bool,
    /// What is made of what heads took has one.
    pub o_bias: bool,
    /// Scores of queries and keys are multiplied by it.
    pub score_scale: f32,
    /// Scores are bounded by it, smoothly.
    pub score_cap: Option<f32>,
    /// A reranker's score is bounded by it, smoothly.
    pub logit_cap: Option<f32>,
    /// Words are multiplied by it.
    pub embedding_scale: f32,
    /// What attention and feed-forward part give is multiplied by it.
    pub residual_scale: f32,
    /// Of each layer: the tokens that one sees, itself included.
    pub windows: Vec<Option<usize>>,
    /// How a reranker's score is made.
    pub head: Head,
}

/// How a reranker's score is made of the last token's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// By a word's row of the vocabulary's matrix, the word table where they are `tied`.
    Word {
        /// The head is the word table.
        tied: bool,
        /// The id of the word.
        id: usize,
    },
    /// By a head of its own for each layer from `first` on.
    ByLayer {
        /// The first layer that has one.
        first: usize,
    },
    /// By the first head for the first of the layers that are asked for, and so on.
    ByPlace,
    /// By one head for all layers.
    One,
}
