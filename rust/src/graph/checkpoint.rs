//! A checkpoint as it is: its encoder's sizes and its weights, from which graphs are assembled.

use std::sync::Arc;

use crate::Result;
use crate::graph::{self, Assembled, Encoder, Variant};
use crate::outputs::Outputs;
use crate::weights::{WeightFile, Weights};

/// An opened checkpoint. Nothing of its weights is copied.
#[derive(Clone)]
pub struct Checkpoint {
    encoder: Encoder,
    weights: Arc<Weights>,
}

impl Checkpoint {
    /// Maps the weight files, all shards, and sees that every tensor is there that `outputs` need.
    ///
    /// # Errors
    /// Those of [`Weights::open`] and [`graph::assemble`].
    pub fn open(files: &[WeightFile], encoder: Encoder, outputs: Outputs) -> Result<Self> {
        let checkpoint = Self { encoder, weights: Arc::new(Weights::open(files)?) };
        checkpoint.assemble(Variant::of(outputs, true))?;
        Ok(checkpoint)
    }

    /// The graph in one of its forms.
    ///
    /// # Errors
    /// Those of [`graph::assemble`].
    pub fn assemble(&self, variant: Variant) -> Result<Assembled> {
        graph::assemble(&self.encoder, &self.weights, variant)
    }

    /// The sizes of the encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The mapped files.
    #[must_use]
    pub fn weights(&self) -> &Arc<Weights> {
        &self.weights
    }
}
