//! A tokenizer and a graph that belong together: what every kind of model stands on.

use crate::batch::{Batch, Inputs, plan, split_by_length};
use crate::graph::Variant;
use crate::outputs::Outputs;
use crate::session::Array;
use crate::sessions::{Sessions, Source};
use crate::tokenizer::{Tokenizer, Tokens};
use crate::work::{Outcome, RunError, Watcher, Work};
use crate::{Error, Result};

/// Tokens from which on a text takes the form that saves memory.
const LONG: usize = 2048;
/// Texts tokenized and sorted together: bounds the memory for ids, whatever the number of texts.
pub(crate) const WINDOW: usize = 4096;

/// Tells how many texts are done; stops the call by returning false.
pub type Watch<'a> = dyn FnMut(usize) -> bool + 'a;

/// A tokenizer and the sessions of a graph. Any number of threads may share one.
pub struct Model {
    tokenizer: Tokenizer,
    sessions: Sessions,
    dimension: usize,
}

/// How texts become tokens and batches.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most tokens of a text, special tokens included; the rest is cut off.
    pub max_length: usize,
    /// Most texts of one ONNX Runtime call.
    pub batch_size: usize,
    /// Refuse a text that has more than `max_length` tokens instead of cutting it.
    pub refuse_long: bool,
}

/// Reads a batch's outputs; `Err(row)` names a row that is not finite.
pub(crate) type Read<'a, T> = dyn Fn(&Inputs, &[Array<'_>]) -> Result<std::result::Result<T, usize>> + Sync + 'a;

impl Model {
    /// `dimension` is the length of a hidden state as `config.json` gives it.
    #[must_use]
    pub fn new(tokenizer: Tokenizer, sessions: Sessions, dimension: usize) -> Self {
        Self { tokenizer, sessions, dimension }
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
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

    /// Ids of a window's texts, and how many of them were cut; `first` is the place of its first text.
    pub(crate) fn tokenize<T: AsRef<str> + Sync>(
        &self,
        window: &[T],
        limits: &Limits,
        first: usize,
    ) -> Result<(Vec<Tokens>, usize)> {
        let tokens = self.tokenizer.encode_many(window, limits.max_length, self.sessions.threads())?;
        let cut = count_truncated(&tokens, limits, first)?;
        Ok((tokens, cut))
    }

    /// Runs the graph over a window's texts in batches and hands each batch's result to `put`.
    pub(crate) fn run<T: Send>(
        &self,
        tokens: &[Tokens],
        batch_size: usize,
        outputs: Outputs,
        read: &Read<T>,
        put: &mut dyn FnMut(&Batch, T),
        watch: &mut Watch,
    ) -> Outcome<()> {
        self.check_ids(tokens)?;
        let lengths: Vec<usize> = tokens.iter().map(|text| text.ids.len()).collect();
        let mut batches = plan(&lengths, self.sessions.token_budget(), batch_size);
        let place = self.sessions.for_batches(batches.len())?;
        // Two forms of attention: with a mask for padded batches, without one for the rest.
        if batches.iter().any(|batch| batch.padded) && place.session(Variant::of(outputs, true))?.is_none() {
            batches = split_by_length(&batches, &lengths);
        }
        let run = |batch: &Batch| {
            let variant = Variant { outputs, mask: batch.padded, halves: batch.length >= LONG };
            let session = match place.session(variant)? {
                // Halves only save memory: where they cannot be opened any more, what is open gives the same.
                None if variant.halves => place.session(Variant { halves: false, ..variant })?,
                found => found,
            };
            let session = session.ok_or_else(replaced)?;
            let inputs = Inputs::new(batch, tokens, session.encoding().pad_id);
            let result = session.run(&inputs, outputs, |arrays| read(&inputs, arrays))?;
            result.map_err(|row| RunError::NotFinite { row: batch.rows[row] })
        };
        Work::new(&batches, &run).finish(place.runs(), put, Watcher::new(watch))
    }

    /// Sees that every id has a row in the word table, where the size of that is known.
    fn check_ids(&self, tokens: &[Tokens]) -> Outcome<()> {
        let Source::Checkpoint(checkpoint) = self.sessions.source() else { return Ok(()) };
        let rows = checkpoint.encoder().vocab_size;
        let beyond =
            |text: &Tokens| text.ids.iter().copied().find(|&id| usize::try_from(id).is_ok_and(|id| id >= rows));
        let found = tokens.iter().enumerate().find_map(|(row, text)| Some((row, beyond(text)?)));
        found.map_or(Ok(()), |(row, id)| {
            let token = self.tokenizer.token(id).unwrap_or_default();
            Err(RunError::BeyondTable { row, token, id, rows })
        })
    }
}

fn replaced() -> Error {
    Error::ModelFormat(
        "the model's files were replaced or deleted since it was opened, and this call needs another form of its graph. \
         Open the model again"
            .into(),
    )
}

fn count_truncated(tokens: &[Tokens], limits: &Limits, first: usize) -> Result<usize> {
    let mut long = tokens.iter().enumerate().filter(|(_, text)| text.truncated()).peekable();
    match long.peek() {
        Some((place, text)) if limits.refuse_long => Err(Error::Value(format!(
            "texts[{}] has {} tokens, more than max_length {}. Split it, or pass on_truncate=\"warn\" or \"ignore\"",
            first + place,
            text.total,
            limits.max_length
        ))),
        _ => Ok(long.count()),
    }
}
