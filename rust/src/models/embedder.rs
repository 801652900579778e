//! Texts → one matrix, in the texts' order.

use super::model::{Model, Rows, Verb, Watch};
use crate::batch::Inputs;
use crate::memory::zeros;
use crate::outputs::{Array, Finish, HiddenStates, Outcome, Outputs, Pooling};
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// How texts become tokens and batches.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most tokens of a text, special tokens included; the rest is cut off.
    pub max_length: usize,
    /// Most texts of one run.
    pub batch_size: usize,
    /// Refuse a text that has more than `max_length` tokens instead of cutting it.
    pub refuse_long: bool,
}

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
#[derive(Debug)]
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
        let mut all = Embeddings::new(texts.len(), options.finish.length(self.dimension()))?;
        self.each(texts, options, &mut all, watch)?;
        Ok(all)
    }

    /// The finished row of each text of a batch.
    pub(super) fn pool(&self, inputs: &Inputs, array: Array, options: &EncodeOptions) -> Outcome<Vec<Vec<f32>>> {
        let states = HiddenStates::new(array, inputs)?;
        if states.hidden != self.dimension() {
            let (found, told) = (states.hidden, self.dimension());
            let message = format!("the graph's vectors have {found} numbers, config.json says hidden_size {told}");
            return Err(Error::ModelFormat(message).into());
        }
        states.pool(options.pooling, options.finish)
    }
}

impl<T: AsRef<str> + Sync> Verb<T> for EncodeOptions {
    type Row = Vec<f32>;
    const ITEMS: &'static str = "texts";

    fn tokenize(&self, model: &Model, window: &[T], first: usize) -> Result<Vec<Tokens>> {
        let threads = model.sessions().device().threads();
        let tokens = model.tokenizer().encode_many(window, self.limits.max_length, threads)?;
        if self.limits.refuse_long {
            check_lengths(&tokens, &self.limits, first)?;
        }
        Ok(tokens)
    }

    fn batch_size(&self) -> usize {
        self.limits.batch_size
    }

    fn outputs(&self) -> Outputs {
        self.pooling.part().into()
    }

    fn read(&self, model: &Model, inputs: &Inputs, arrays: &[Array]) -> Outcome<Vec<Vec<f32>>> {
        model.pool(inputs, arrays[0], self)
    }
}

impl Embeddings {
    pub(super) fn new(texts: usize, dimension: usize) -> Result<Self> {
        let what = format!("{texts} vectors of {dimension} numbers");
        Ok(Self { values: zeros(texts.saturating_mul(dimension), &what)?, dimension, truncated: 0 })
    }
}

impl Rows<Vec<f32>> for Embeddings {
    fn expect(&mut self, tokens: &[Tokens]) -> Result<()> {
        self.truncated += tokens.iter().filter(|text| text.truncated()).count();
        Ok(())
    }

    fn put(&mut self, place: usize, row: Vec<f32>) -> Result<()> {
        self.values[place * self.dimension..][..self.dimension].copy_from_slice(&row);
        Ok(())
    }
}

fn check_lengths(tokens: &[Tokens], limits: &Limits, first: usize) -> Result<()> {
    match tokens.iter().enumerate().find(|(_, text)| text.truncated()) {
        Some((place, text)) => Err(Error::Value(format!(
            "texts[{}] has {} tokens, more than max_length {}. Split it, or pass on_truncate=\"warn\" or \"ignore\"",
            first + place,
            text.total,
            limits.max_length
        ))),
        None => Ok(()),
    }
}
