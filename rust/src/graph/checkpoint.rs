//! A checkpoint as it is: its encoder's sizes and its weights, from which graphs are assembled.

use std::sync::Arc;

use super::bert::Bert;
use super::{Assembled, Conversion, Encoder, Form, assemble};
use crate::Result;
use crate::batch::Layout;
use crate::outputs::Outputs;
use crate::prepared::Prepared;
use crate::weights::{WeightFile, Weights};

/// An opened checkpoint. Nothing of its weights is copied.
#[derive(Clone)]
pub struct Checkpoint {
    encoder: Encoder,
    weights: Arc<Weights>,
}

impl Checkpoint {
    /// Maps the weight files, all shards, and sees that every tensor is there that `outputs` need. Tensors of `changed` take the
    /// place of those of their names.
    ///
    /// # Errors
    /// Those of [`Weights::open`], [`Weights::replace`] and [`assemble`].
    pub fn open(
        files: &[WeightFile],
        changed: Option<&WeightFile>,
        encoder: Encoder,
        outputs: Outputs,
    ) -> Result<Self> {
        let mut weights = Weights::open(files)?;
        changed.map_or(Ok(()), |file| weights.replace(file))?;
        let checkpoint = Self { encoder, weights: Arc::new(weights) };
        let form = Form { outputs, layout: Layout::Masked, half: false };
        assemble(&checkpoint.encoder, &checkpoint.weights, Conversion::Draft, form)?;
        Ok(checkpoint)
    }

    /// The graph in one of its forms, complete in itself and its external data.
    ///
    /// # Errors
    /// Those of [`assemble`].
    pub fn assemble(&self, form: Form) -> Result<Assembled> {
        assemble(&self.encoder, &self.weights, Conversion::InGraph, form)
    }

    /// The graph for a session that is handed its float32 tensors.
    ///
    /// # Errors
    /// Those of [`assemble`].
    pub fn assemble_with(&self, prepared: &Prepared, form: Form) -> Result<Assembled> {
        assemble(&self.encoder, &self.weights, Conversion::Prepared(prepared), form)
    }

    /// The graph for a CUDA device, whose texts lie one behind the other; in float16 for a session that is handed its tensors.
    ///
    /// # Errors
    /// Those of [`assemble`]; [`crate::Error::ModelFormat`] for a weight beyond float16.
    pub fn assemble_for_cuda(&self, prepared: &Prepared, form: Form) -> Result<Assembled> {
        let conversion = if form.half { Conversion::Narrowed(prepared) } else { Conversion::InGraph };
        assemble(&self.encoder, &self.weights, conversion, form)
    }

    /// Whether a CUDA device takes its texts one behind the other: not where scores depend on distances, since the operator
    /// would take them of all pairs of tokens.
    #[must_use]
    pub fn packs_on_cuda(&self) -> bool {
        self.encoder.architecture.distances.is_none()
    }

    /// The first tensor of a layer that the sizes do not have, where there is one: it is not run.
    ///
    /// # Errors
    /// [`crate::Error::ModelFormat`] where there is no encoder.
    pub fn left_over(&self) -> Result<Option<&str>> {
        Ok(Bert::new(&self.encoder, &self.weights)?.left_over(&self.weights))
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
