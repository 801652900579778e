//! A checkpoint as it is: its network's sizes and its weights, from which graphs are assembled.

use std::sync::Arc;

use super::bert::Bert;
use super::{Assembled, Conversion, Form, Head, Network, assemble, decoder};
use crate::Result;
use crate::batch::Layout;
use crate::outputs::Outputs;
use crate::prepared::Prepared;
use crate::weights::{WeightFile, Weights};

/// An opened checkpoint. Nothing of its weights is copied.
#[derive(Clone)]
pub struct Checkpoint {
    network: Network,
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
        network: Network,
        outputs: Outputs,
    ) -> Result<Self> {
        let mut weights = Weights::open(files)?;
        changed.map_or(Ok(()), |file| weights.replace(file))?;
        let checkpoint = Self { network, weights: Arc::new(weights) };
        let form = Form { half: false, ..Form::of(outputs, Layout::Masked) };
        assemble(&checkpoint.network, &checkpoint.weights, Conversion::Draft, form)?;
        Ok(checkpoint)
    }

    /// The graph for a session that is handed its float32 tensors.
    ///
    /// # Errors
    /// Those of [`assemble`].
    pub fn assemble_with(&self, prepared: &Prepared, form: Form) -> Result<Assembled> {
        assemble(&self.network, &self.weights, Conversion::Prepared(prepared), form)
    }

    /// The graph of ONNX Runtime's operators, for a CUDA device where its form says so; in 16 bits for a session that is handed its
    /// tensors, else complete in itself and its external data.
    ///
    /// # Errors
    /// Those of [`assemble`]; [`crate::Error::ModelFormat`] for a weight beyond 16 bits.
    pub fn assemble_for_cuda(&self, prepared: &Prepared, form: Form) -> Result<Assembled> {
        let conversion = if form.half { Conversion::Narrowed(prepared) } else { Conversion::InGraph };
        assemble(&self.network, &self.weights, conversion, form)
    }

    /// Whether a CUDA device computes it in 16 bits: not where scores depend on distances.
    #[must_use]
    pub fn narrows_on_cuda(&self) -> bool {
        !matches!(&self.network, Network::Encoder(encoder) if encoder.architecture.distances.is_some())
    }

    /// Whether a CUDA device takes its texts one behind the other. Operators for that know no distances, or would take them of all pairs
    /// of tokens, and none that looks to the left only has float32.
    #[must_use]
    pub fn packs_on_cuda(&self) -> bool {
        matches!(&self.network, Network::Encoder(_)) && self.narrows_on_cuda()
    }

    /// The first tensor of a layer that the sizes do not have, where there is one: it is not run.
    ///
    /// # Errors
    /// [`crate::Error::ModelFormat`] where there is no network.
    pub fn left_over(&self) -> Result<Option<&str>> {
        match &self.network {
            Network::Encoder(encoder) => Ok(Bert::new(encoder, &self.weights)?.left_over(&self.weights)),
            Network::Decoder(sizes) => decoder::left_over(sizes, &self.weights),
        }
    }

    /// The same, of a decoder that scores by the word of this id.
    #[must_use]
    pub fn answering(mut self, word: usize) -> Self {
        if let Network::Decoder(decoder) = &mut self.network
            && let Head::Word { id, .. } = &mut decoder.head
        {
            *id = word;
        }
        self
    }

    /// The sizes of the network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The mapped files.
    #[must_use]
    pub fn weights(&self) -> &Arc<Weights> {
        &self.weights
    }
}
