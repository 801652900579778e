//! Texts → one matrix, in the texts' order.

use crate::batch::{Batch, Inputs};
use crate::models::{Limits, Model, WINDOW, Watch};
use crate::outputs::Array;
use crate::outputs::{Finish, HiddenStates, Pooling};
use crate::{Error, Result};

/// What one call asks for.
#[derive(Debug, Clone)]
pub struct EncodeOptions {
    /// How texts become batches.
    pub limits: Limits,
    /// How a row is taken from the hidden states.
    pub pooling: Pooling,
    /// What happens to it then.
    pub finish: Finish,
}

/// Vectors of a call, row after row.
#[derive(Debug, Default)]
pub struct Embeddings {
    /// `rows × dimension` numbers.
    pub values: Vec<f32>,
    /// Length of one vector.
    pub dimension: usize,
    /// Texts that were cut to `max_length`.
    pub truncated: usize,
}

impl Model {
    /// Encodes `texts`. While it waits, `watch` is told about every 50 ms how many texts are done, and stops the call by
    /// returning false.
    ///
    /// # Errors
    /// [`Error::Numerics`] or [`Error::Value`] naming a text by its place; [`Error::Stopped`]; those of
    /// [`crate::ort::Session::run`].
    pub fn encode<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
        watch: &mut Watch,
    ) -> Result<Embeddings> {
        let dimension = options.finish.length(self.dimension());
        let mut all = Embeddings { values: vec![0.0; texts.len() * dimension], dimension, truncated: 0 };
        let outputs = options.pooling.part().into();
        let read = |inputs: &Inputs, arrays: &[Array]| self.pool(inputs, arrays[0], options);
        for (number, window) in texts.chunks(WINDOW).enumerate() {
            let first = number * WINDOW;
            let (tokens, cut) = self.tokenize(window, &options.limits, first)?;
            all.truncated += cut;
            let rows = &mut all.values[first * dimension..];
            let mut put = |batch: &Batch, vectors: Vec<f32>| place_rows(batch, &vectors, dimension, rows);
            let batch_size = options.limits.batch_size;
            self.run(&tokens, batch_size, outputs, &read, &mut put, &mut |done| watch(first + done))
                .map_err(|error| error.name("texts", first))?;
        }
        Ok(all)
    }

    /// One batch's finished rows.
    pub(crate) fn pool(
        &self,
        inputs: &Inputs,
        array: Array,
        options: &EncodeOptions,
    ) -> Result<std::result::Result<Vec<f32>, usize>> {
        let states = HiddenStates::new(array, inputs.rows, inputs.length)?;
        if states.hidden != self.dimension() {
            return Err(Error::ModelFormat(format!(
                "the graph's vectors have {} numbers, config.json says hidden_size {}",
                states.hidden,
                self.dimension()
            )));
        }
        Ok(states.pool(options.pooling, options.finish, &inputs.lengths))
    }
}

/// Puts a batch's vectors where its texts stand in the window.
pub(crate) fn place_rows(batch: &Batch, vectors: &[f32], dimension: usize, rows: &mut [f32]) {
    for (&row, vector) in batch.rows.iter().zip(vectors.chunks(dimension)) {
        rows[row * dimension..][..dimension].copy_from_slice(vector);
    }
}
