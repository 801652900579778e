//! A tokenizer and a graph that belong together, and the one way in which every verb goes through them.

use std::sync::{Arc, Mutex};

use super::beginning::Beginning;
use super::call::Call;
use super::counts::Counts;
use super::shares::{Share, Shares};
use super::windows::Window;
use crate::batch::{Batch, Capacity, InputRules, Inputs, Layout, Mixed, Past, plan};
use crate::graph::{Depth, Form, Network};
use crate::ort::Session;
use crate::outputs::{Array, Outcome, Outputs, Part};
use crate::run::{GraphSource, Patience, Place, Sessions, Watcher};
use crate::tokenizer::{Tokenizer, Tokens};
use crate::{Error, Result};

/// Tells how many items are done; stops the call by returning false.
pub type Watch<'a> = dyn FnMut(usize) -> bool + 'a;

/// Bytes of texts that are tokenized, in a tenth of a second, before a call that nobody wants any more ends.
const BYTES_AT_ONCE: usize = 1 << 18;

/// A tokenizer and the sessions of a graph. Any number of threads may share one.
pub struct Model {
    tokenizer: Arc<Tokenizer>,
    sessions: Sessions,
    rules: InputRules,
    dimension: usize,
    patience: Patience,
    shares: Shares,
    counts: Counts,
    beginnings: Mutex<Vec<Arc<Beginning>>>,
}

/// What a call does with its items `I`, such as texts.
pub(crate) trait Verb<I>: Clone + PartialEq + Send + Sync + 'static {
    /// What an item becomes.
    type Row: Send + 'static;
    /// What messages call the items.
    const ITEMS: &'static str;

    /// The text of an item, or both of a pair: what makes two items the same.
    fn texts(item: &I) -> (&str, &str);
    /// Ids of items; `name` names one of them by its place among these.
    fn tokenize(&self, model: &Model, items: &[&I], name: &dyn Fn(usize) -> String) -> Result<Vec<Tokens>>;
    /// Most items of one run.
    fn batch_size(&self) -> usize;
    /// What the graph puts out.
    fn outputs(&self) -> Outputs;
    /// How far they go through a decoder's layers.
    fn depth(&self) -> Depth {
        Depth::default()
    }
    /// Tokens of each item behind its passage.
    fn behind(&self) -> usize {
        0
    }
    /// What all items begin with, and do not have among their ids.
    fn beginning(&self) -> Option<&Arc<Past>> {
        None
    }
    /// A row for each item of a batch.
    fn read(&self, model: &Model, inputs: &Inputs, arrays: &[Array]) -> Outcome<Vec<Self::Row>>;
}

/// Where the rows of a call go.
pub(crate) trait Rows<R> {
    /// The next item has these ids.
    fn expect(&mut self, _place: usize, _tokens: &Tokens) {}
    /// The next item is the same as the one at `first`.
    fn expect_again(&mut self, _first: usize) {}
    /// Takes the row of the item at `place`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn put(&mut self, place: usize, row: R) -> Result<()>;
    /// Gives the item at `place` the row of the one at `first`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn copy(&mut self, first: usize, place: usize) -> Result<()>;
}

impl Model {
    /// `dimension` is the length of a hidden state as `config.json` gives it.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] where pairs have more token types than the table of a checkpoint that scores them.
    pub fn new(
        tokenizer: Tokenizer,
        sessions: Sessions,
        rules: InputRules,
        dimension: usize,
        patience: Patience,
    ) -> Result<Self> {
        if let GraphSource::Checkpoint(checkpoint) = sessions.source()
            && let Network::Encoder(encoder) = checkpoint.network()
            && encoder.type_vocab_size < 2
            && sessions.first().outputs.contains(Part::Logits)
            && tokenizer.types_pairs()
        {
            return Err(Error::ModelFormat(
                "the second text of a pair has token type 1, but type_vocab_size of config.json is 1. A model without token \
                 types has \"model_input_names\": [\"input_ids\", \"attention_mask\"] in its tokenizer_config.json"
                    .into(),
            ));
        }
        Ok(Self {
            tokenizer: Arc::new(tokenizer),
            sessions,
            rules,
            dimension,
            patience,
            shares: Shares::default(),
            counts: Counts::default(),
            beginnings: Mutex::default(),
        })
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// The opened graph.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Length of a hidden state.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Seconds of all threads together that went into tokenizing, waiting for a run, and running.
    #[must_use]
    pub fn seconds(&self) -> [f64; 3] {
        let Shares { tokenizing, waiting, running } = &self.shares;
        [tokenizing, waiting, running].map(Share::seconds)
    }

    /// How many batches went through a graph.
    #[must_use]
    pub fn batches_run(&self) -> u64 {
        self.shares.running.times()
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    pub(super) fn beginnings(&self) -> &Mutex<Vec<Arc<Beginning>>> {
        &self.beginnings
    }

    pub(super) fn rules(&self) -> InputRules {
        self.rules
    }

    pub(super) fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Does what `verb` says with all `items`, and with those that are the same once.
    pub(super) fn each<I: Sync, V: Verb<I>>(
        &self,
        items: &[I],
        verb: &V,
        rows: &mut dyn Rows<V::Row>,
        watch: &mut Watch,
    ) -> Result<()> {
        self.counts.calls.add(1);
        self.counts.items.add(items.len());
        Call::new(self, items, verb).finish(rows, &mut Watcher::new(watch, self.patience))
    }

    /// Ids of what is new in a window; `name` names an item by its place in that. `goes_on` is asked now and then.
    pub(super) fn tokens<I, V: Verb<I>>(
        &self,
        items: &[I],
        verb: &V,
        window: &Window,
        name: &dyn Fn(usize) -> String,
        goes_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<Tokens>> {
        let new: Vec<&I> = window.new.iter().map(|&place| &items[place]).collect();
        let mut tokens = Vec::with_capacity(new.len());
        while tokens.len() < new.len() {
            goes_on()?;
            let first = tokens.len();
            let part = next_part::<I, V>(&new[first..]);
            tokens.extend(self.shares.tokenizing.of(|| verb.tokenize(self, part, &|row| name(first + row)))?);
        }
        if let Some(row) = tokens.iter().position(|text| text.ids.is_empty()) {
            return Err(Error::Value(format!(
                "{} has no tokens: the tokenizer gives it none, not even special ones",
                name(row)
            )));
        }
        self.check_ids(&tokens, name)?;
        self.counts.truncated.add(tokens.iter().filter(|text| text.truncated()).count());
        Ok(tokens)
    }

    /// Batches of items, in layouts that the graph still has.
    pub(super) fn batches<I, V: Verb<I>>(&self, place: Place, tokens: &[Tokens], verb: &V) -> Result<Vec<Batch>> {
        let batches = self.planned(tokens, verb);
        if batches.iter().any(|batch| batch.layout == Layout::Masked)
            && place.session(form_of(verb, Layout::Masked, false))?.is_none()
        {
            let capacity =
                Capacity { mixed: Mixed::Apart, ..self.sessions.capacity(verb.batch_size(), verb.outputs()) };
            return Ok(plan(&lengths(tokens), capacity));
        }
        Ok(batches)
    }

    /// Batches of items.
    pub(super) fn planned<I, V: Verb<I>>(&self, tokens: &[Tokens], verb: &V) -> Vec<Batch> {
        plan(&lengths(tokens), self.sessions.capacity(verb.batch_size(), verb.outputs()))
    }

    /// Sees that every id has a row in the word table, where the size of that is known.
    pub(super) fn check_ids(&self, tokens: &[Tokens], name: &dyn Fn(usize) -> String) -> Result<()> {
        let GraphSource::Checkpoint(checkpoint) = self.sessions.source() else { return Ok(()) };
        let rows = checkpoint.network().vocab_size();
        let beyond =
            |text: &Tokens| text.ids.iter().copied().find(|&id| usize::try_from(id).is_ok_and(|id| id >= rows));
        let found = tokens.iter().enumerate().find_map(|(row, text)| Some((row, beyond(text)?)));
        found.map_or(Ok(()), |(row, id)| {
            Err(Error::ModelFormat(format!(
                "{} has the token id {id} ({:?}), but the word table has {rows} rows: tokenizer.json belongs to another model",
                name(row),
                self.tokenizer.token(id).unwrap_or_default()
            )))
        })
    }
}

/// The first of these items, up to so many bytes of their texts.
fn next_part<'a, 'i, I, V: Verb<I>>(items: &'a [&'i I]) -> &'a [&'i I] {
    let mut bytes = 0;
    let last = items.iter().position(|item| {
        let (text, other) = V::texts(item);
        bytes += text.len() + other.len();
        bytes >= BYTES_AT_ONCE
    });
    last.map_or(items, |last| &items[..=last])
}

fn lengths(tokens: &[Tokens]) -> Vec<usize> {
    tokens.iter().map(|text| text.ids.len()).collect()
}

pub(super) fn not_finite(item: &str) -> Error {
    Error::Numerics(format!(
        "the result for {item} is not finite. With an exported fp16 graph, try precision=\"fp32\"; with fp32 the weights are broken"
    ))
}

/// The form of the graph for batches of a layout; an `exact` one is in float32 whatever the model computes in.
pub(super) fn form_of<I, V: Verb<I>>(verb: &V, layout: Layout, exact: bool) -> Form {
    Form { outputs: verb.outputs(), layout, half: !exact, depth: verb.depth(), past: verb.beginning().is_some() }
}

/// The session for a form.
pub(super) fn session_of(place: Place, form: Form) -> Result<Arc<Session>> {
    let session = match place.session(form)? {
        // Halves only save memory: where they cannot be opened any more, what is open gives the same.
        None if form.layout == Layout::Halved => place.session(Form { layout: Layout::Plain, ..form })?,
        found => found,
    };
    session.ok_or_else(replaced)
}

fn replaced() -> Error {
    Error::ModelFormat(
        "the model's files were replaced or deleted since it was opened, and this call needs another form of its graph. \
         Open the model again"
            .into(),
    )
}
