//! Texts → one matrix, in the texts' order.

use std::collections::HashSet;
use std::sync::Arc;

use super::beginning::Beginning;
use super::model::{Model, Rows, Verb, Watch};
use crate::batch::{Inputs, Past};
use crate::memory::zeros;
use crate::outputs::{Array, Finish, HiddenStates, Outcome, Outputs, Pooling};
use crate::run::Watcher;
use crate::tokenizer::{Around, Tokens};
use crate::{Error, Result};

/// How texts become tokens and batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens of a text, special tokens included; the rest is cut off.
    pub max_length: usize,
    /// Most texts of one run.
    pub batch_size: usize,
    /// Refuse a text that has more than `max_length` tokens instead of cutting it.
    pub refuse_long: bool,
}

/// What one call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeOptions {
    /// How texts become batches.
    pub limits: Limits,
    /// What stands around each text, where it is a query of a model that learns in context.
    pub around: Option<Around>,
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
    cut: HashSet<usize>,
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
        let mut verb = Encode { options: options.clone(), beginning: None };
        if let Some(around) = &options.around {
            verb.beginning = self.beginning(around.beginning(), &mut Watcher::new(watch, self.patience()))?;
        }
        self.each(texts, &verb, &mut all, watch)?;
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

/// What is done with texts; keys and values of what they begin with are there already.
#[derive(Debug, Clone, PartialEq)]
struct Encode {
    options: EncodeOptions,
    beginning: Option<Arc<Beginning>>,
}

impl<T: AsRef<str> + Sync> Verb<T> for Encode {
    type Row = Vec<f32>;
    const ITEMS: &'static str = "texts";

    fn texts(item: &T) -> (&str, &str) {
        (item.as_ref(), "")
    }

    fn tokenize(&self, model: &Model, texts: &[&T], name: &dyn Fn(usize) -> String) -> Result<Vec<Tokens>> {
        let tokens = self.options.tokenize(model, texts, name)?;
        match &self.beginning {
            Some(beginning) => tokens.into_iter().map(|tokens| beginning.rest(tokens)).collect(),
            None => Ok(tokens),
        }
    }

    fn batch_size(&self) -> usize {
        self.options.limits.batch_size
    }

    fn outputs(&self) -> Outputs {
        self.options.pooling.part().into()
    }

    fn beginning(&self) -> Option<&Arc<Past>> {
        self.beginning.as_ref().map(|beginning| beginning.past())
    }

    fn read(&self, model: &Model, inputs: &Inputs, arrays: &[Array]) -> Outcome<Vec<Vec<f32>>> {
        model.pool(inputs, arrays[0], &self.options)
    }
}

impl EncodeOptions {
    /// Ids of texts with all that stands around them.
    pub(super) fn tokenize<T: AsRef<str> + Sync>(
        &self,
        model: &Model,
        texts: &[&T],
        name: &dyn Fn(usize) -> String,
    ) -> Result<Vec<Tokens>> {
        let threads = model.sessions().device().threads();
        let (tokenizer, length) = (model.tokenizer(), self.limits.max_length);
        let tokens = match &self.around {
            Some(around) => around.encode_many(tokenizer, texts, length, threads)?,
            None => tokenizer.encode_many(texts, length, threads)?,
        };
        match tokens.iter().position(Tokens::truncated) {
            Some(row) if self.limits.refuse_long => self.limits.refuse(model, texts[row].as_ref(), &name(row)),
            _ => Ok(tokens),
        }
    }
}

impl Limits {
    /// The error for a text that is too long.
    fn refuse<R>(&self, model: &Model, text: &str, name: &str) -> Result<R> {
        let (tokens, max_length) = (model.tokenizer().encode(text, usize::MAX)?.total, self.max_length);
        Err(Error::Value(format!(
            "{name} has {tokens} tokens, more than max_length {max_length}. Split it, or pass on_truncate=\"warn\" or \"ignore\""
        )))
    }
}

impl Embeddings {
    pub(super) fn new(texts: usize, dimension: usize) -> Result<Self> {
        let what = format!("{texts} vectors of {dimension} numbers");
        Ok(Self {
            values: zeros(texts.saturating_mul(dimension), &what)?,
            dimension,
            truncated: 0,
            cut: HashSet::new(),
        })
    }
}

impl Rows<Vec<f32>> for Embeddings {
    fn expect(&mut self, place: usize, tokens: &Tokens) {
        if tokens.truncated() {
            self.truncated += 1;
            self.cut.insert(place);
        }
    }

    fn expect_again(&mut self, first: usize) {
        self.truncated += usize::from(self.cut.contains(&first));
    }

    fn put(&mut self, place: usize, row: Vec<f32>) -> Result<()> {
        self.values[place * self.dimension..][..self.dimension].copy_from_slice(&row);
        Ok(())
    }

    fn copy(&mut self, first: usize, place: usize) -> Result<()> {
        let start = first * self.dimension;
        self.values.copy_within(start..start + self.dimension, place * self.dimension);
        Ok(())
    }
}
