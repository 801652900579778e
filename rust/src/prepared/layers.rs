//! Layers with their numbers, as our own kernels take them.

use std::sync::Arc;

use super::store::Region;
use crate::kernels::{
    self, Activation, Format, Gated, LayerNorm, Linear, Number, Panels, RmsNorm, RotaryTable, Stored, StoredRows,
};
use crate::weights::{Dtype, Tensor, Weights};

/// A part of a model that one of our own operators computes.
pub enum Layer {
    /// Rows times a matrix.
    Linear(LinearLayer),
    /// Rows added up and normalized.
    Norm(NormLayer),
    /// What tokens take from each other.
    Attention(AttentionLayer),
    /// Rows divided by their length.
    RmsNorm(RmsNormLayer),
    /// What tokens take from those before them.
    Causal(CausalLayer),
    /// The feed-forward part of a decoder.
    Gated(GatedLayer),
    /// Runs of so many tokens as their mean.
    Means(usize),
}

/// A linear layer with its matrix.
pub struct LinearLayer {
    pub(super) matrix: Arc<Matrix>,
    /// `[n]`.
    pub(super) bias: Option<Vec<f32>>,
    pub(super) activation: Option<Activation>,
}

/// The matrix of a linear layer; layers of the same name share it.
pub(super) enum Matrix {
    /// Packed for our kernels.
    Packed { format: Format, n: usize, k: usize, region: Region },
    /// Rows of a checkpoint's tensors, where they lie; products are in bfloat16 or `exact`.
    Stored { weights: Arc<Weights>, tensors: Vec<Tensor>, k: usize, exact: bool },
}

impl Matrix {
    /// Where the kernels can take tensors as they are stored.
    pub fn stored(weights: &Arc<Weights>, tensors: &[Tensor], exact: bool) -> Option<Self> {
        let plain = |tensor: &Tensor| tensor.strides.is_none() && number(tensor.dtype).is_some();
        let k = tensors.first()?.shape[1];
        tensors.iter().all(plain).then(|| Self::Stored {
            weights: Arc::clone(weights),
            tensors: tensors.to_vec(),
            k,
            exact,
        })
    }

    fn matrix(&self) -> kernels::Matrix<'_> {
        match self {
            &Self::Packed { format, n, k, ref region } => {
                kernels::Matrix::Packed(Panels { format, n, k, bytes: region.bytes() })
            }
            Self::Stored { weights, tensors, k, exact } => {
                let rows =
                    |tensor: &Tensor| Some(StoredRows { bytes: weights.bytes(tensor), number: number(tensor.dtype)? });
                let rows: Vec<_> = tensors.iter().filter_map(rows).collect();
                kernels::Matrix::Stored(Stored::new(&rows, *k, *exact))
            }
        }
    }
}

fn number(dtype: Dtype) -> Option<Number> {
    match dtype {
        Dtype::F32 => Some(Number::F32),
        Dtype::F16 => Some(Number::F16),
        Dtype::Bf16 => Some(Number::Bf16),
        Dtype::F64 => None,
    }
}

impl LinearLayer {
    /// As the kernel takes it.
    #[must_use]
    pub fn linear(&self) -> Linear<'_> {
        Linear { matrix: self.matrix.matrix(), bias: self.bias.as_deref(), activation: self.activation }
    }
}

/// A sum of rows, normalized.
pub struct NormLayer {
    /// `[size]`, added to every row.
    pub bias: Option<Vec<f32>>,
    /// `[size]`.
    pub scale: Vec<f32>,
    /// `[size]`.
    pub shift: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl NormLayer {
    /// As the kernel takes it.
    #[must_use]
    pub fn norm(&self) -> LayerNorm<'_> {
        LayerNorm { scale: &self.scale, shift: &self.shift, epsilon: self.epsilon }
    }
}

/// An attention.
pub struct AttentionLayer {
    /// How many heads.
    pub heads: usize,
    /// Numbers of a head.
    pub size: usize,
    /// What is added to scores by the distance of two tokens.
    pub distances: Option<Arc<DistanceTable>>,
    /// Computed in float32.
    pub exact: bool,
}

/// Scores by distance.
pub struct DistanceTable {
    /// `[heads, 2 · reach - 1]`.
    pub scores: Vec<f32>,
    /// Tokens of the longest text.
    pub reach: usize,
}

/// Rows divided by the root of the mean of their squares.
pub struct RmsNormLayer {
    /// `[size]`.
    pub scale: Vec<f32>,
    /// Added to the mean of squares.
    pub epsilon: f32,
}

impl RmsNormLayer {
    /// As the kernel takes it.
    #[must_use]
    pub fn norm(&self) -> RmsNorm<'_> {
        RmsNorm { scale: &self.scale, epsilon: self.epsilon }
    }
}

/// The attention of a decoder.
pub struct CausalLayer {
    /// How many heads ask.
    pub heads: usize,
    /// How many are asked.
    pub key_heads: usize,
    /// Numbers of a head.
    pub size: usize,
    /// Scores are multiplied by it.
    pub scale: f32,
    /// Scores are bounded by it.
    pub cap: Option<f32>,
    /// Tokens that one sees, itself included.
    pub window: Option<usize>,
    /// How positions turn queries and keys.
    pub rotary: Arc<RotaryTable>,
    /// Of the queries of each head, before they are turned.
    pub query_norm: Option<RmsNormLayer>,
    /// The same of keys.
    pub key_norm: Option<RmsNormLayer>,
}

/// The feed-forward part of a decoder.
pub struct GatedLayer {
    /// Says how much of what `up` gives goes on.
    pub gate: LinearLayer,
    /// What goes on.
    pub up: LinearLayer,
    /// Back to the width of hidden states.
    pub down: LinearLayer,
    /// Of what the gate gives.
    pub activation: Activation,
}

impl GatedLayer {
    /// As the kernel takes it.
    #[must_use]
    pub fn gated(&self) -> Gated<'_> {
        let [gate, up, down] = [&self.gate, &self.up, &self.down].map(|layer| layer.matrix.matrix());
        Gated { gate, up, down, activation: self.activation }
    }
}
