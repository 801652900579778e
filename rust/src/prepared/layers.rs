//! Layers with their numbers, as our own kernels take them.

use std::sync::Arc;

use super::store::Region;
use crate::kernels::{self, Activation, Format, LayerNorm, Linear, Panels};

/// A part of a model that one of our own operators computes.
pub enum Layer {
    /// Rows times a matrix.
    Linear(LinearLayer),
    /// Rows added up and normalized.
    Norm(NormLayer),
    /// What tokens take from each other.
    Attention(AttentionLayer),
}

/// A linear layer with its packed matrix.
pub struct LinearLayer {
    pub(super) matrix: Arc<Matrix>,
    /// `[n]`.
    pub(super) bias: Option<Vec<f32>>,
    pub(super) activation: Option<Activation>,
}

/// A packed matrix; layers of the same name share it.
pub(super) struct Matrix {
    pub format: Format,
    pub n: usize,
    pub k: usize,
    pub region: Region,
}

impl LinearLayer {
    /// As the kernel takes it.
    #[must_use]
    pub fn linear(&self) -> Linear<'_> {
        let Matrix { format, n, k, ref region } = *self.matrix;
        let panels = Panels { format, n, k, bytes: region.bytes() };
        Linear { matrix: kernels::Matrix::Packed(panels), bias: self.bias.as_deref(), activation: self.activation }
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
