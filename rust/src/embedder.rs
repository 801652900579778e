//! Texts → one matrix, in the texts' order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::batch::{Batch, Inputs, TOKEN_BUDGET, plan};
use crate::pooling::{Finish, HiddenStates, Pooling};
use crate::session::Session;
use crate::tokenizer::{Tokenizer, Tokens};
use crate::{Error, Result};

/// Texts tokenized and sorted together: bounds the memory for ids, whatever the number of texts.
const WINDOW: usize = 4096;
/// How often a waiting caller's watcher is asked.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// What one call asks for.
#[derive(Debug, Clone)]
pub struct EncodeOptions {
    /// Most tokens of a text, special tokens included; the rest is cut off.
    pub max_length: usize,
    /// Most texts of one ONNX Runtime call.
    pub batch_size: usize,
    /// How a row is taken from the hidden states.
    pub pooling: Pooling,
    /// What happens to it then.
    pub finish: Finish,
    /// Refuse a text that has more than `max_length` tokens instead of cutting it.
    pub refuse_long: bool,
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

/// A tokenizer and a session that belong together. Any number of threads may share one.
pub struct Embedder {
    tokenizer: Tokenizer,
    session: Session,
    dimension: usize,
}

impl Embedder {
    /// `dimension` is the length of a vector as `config.json` gives it.
    #[must_use]
    pub fn new(tokenizer: Tokenizer, session: Session, dimension: usize) -> Self {
        Self { tokenizer, session, dimension }
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Encodes `texts`. While it waits, `watch` is told about every 50 ms how many texts are done, and stops the call by
    /// returning false.
    ///
    /// # Errors
    /// [`Error::Numerics`] or [`Error::Value`] naming a text by its place; [`Error::Stopped`]; those of [`Session::run`].
    pub fn encode<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EncodeOptions,
        watch: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Embeddings> {
        let dimension = options.finish.truncate_dim.map_or(self.dimension, |dim| dim.min(self.dimension));
        let mut all = Embeddings { values: vec![0.0; texts.len() * dimension], dimension, truncated: 0 };
        for (number, window) in texts.chunks(WINDOW).enumerate() {
            let first = number * WINDOW;
            let tokens = self.tokenizer.encode_many(window, options.max_length, self.session.concurrency())?;
            all.truncated += count_truncated(&tokens, options, first)?;
            let rows = &mut all.values[first * dimension..(first + window.len()) * dimension];
            self.encode_window(&tokens, options, rows, &mut |done| watch(first + done))
                .map_err(|error| error.name_text(first))?;
        }
        Ok(all)
    }

    fn encode_window(
        &self,
        tokens: &[Tokens],
        options: &EncodeOptions,
        rows: &mut [f32],
        watch: &mut dyn FnMut(usize) -> bool,
    ) -> std::result::Result<(), RunError> {
        let lengths: Vec<usize> = tokens.iter().map(|text| text.ids.len()).collect();
        let batches = plan(&lengths, TOKEN_BUDGET, options.batch_size);
        let mut place = |batch: &Batch, vectors: &[f32]| {
            let dimension = vectors.len() / batch.rows.len();
            for (&row, vector) in batch.rows.iter().zip(vectors.chunks(dimension)) {
                rows[row * dimension..][..dimension].copy_from_slice(vector);
            }
        };
        // A single batch runs in the caller's thread: handing it to another one costs a quarter of a query's time.
        if let [batch] = batches.as_slice() {
            place(batch, &self.run(batch, tokens, options)?);
            return Ok(());
        }
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let (sender, results) = channel();
        std::thread::scope(|scope| {
            for _ in 0..self.session.concurrency().min(batches.len()) {
                let sender = sender.clone();
                let (next, stop, batches) = (&next, &stop, &batches);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed)
                        && let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed))
                        && sender.send((batch, self.run(batch, tokens, options))).is_ok()
                    {}
                });
            }
            drop(sender);
            let outcome = collect(&results, &mut place, watch);
            stop.store(true, Ordering::Relaxed);
            outcome
        })
    }

    /// One batch's finished rows.
    fn run(
        &self,
        batch: &Batch,
        tokens: &[Tokens],
        options: &EncodeOptions,
    ) -> std::result::Result<Vec<f32>, RunError> {
        let inputs = Inputs::new(batch, tokens, self.session.pad_id());
        let pooled = self.session.run(&inputs, |shape, values| {
            let states = HiddenStates::new(shape, values, inputs.rows, inputs.length)?;
            if states.hidden != self.dimension {
                return Err(Error::ModelFormat(format!(
                    "the graph's vectors have {} numbers, config.json says hidden_size {}",
                    states.hidden, self.dimension
                )));
            }
            Ok(states.pool(options.pooling, options.finish, &inputs.lengths))
        })?;
        pooled.map_err(|row| RunError::NotFinite { row: batch.rows[row] })
    }
}

enum RunError {
    NotFinite { row: usize },
    Other(Error),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl RunError {
    fn name_text(self, first: usize) -> Error {
        match self {
            Self::Other(error) => error,
            Self::NotFinite { row } => Error::Numerics(format!(
                "the vector of texts[{}] is not finite. With an fp16 graph, try precision=\"fp32\"; with fp32 the weights are broken",
                first + row
            )),
        }
    }
}

type BatchResult<'a> = (&'a Batch, std::result::Result<Vec<f32>, RunError>);

fn collect(
    results: &Receiver<BatchResult>,
    place: &mut dyn FnMut(&Batch, &[f32]),
    watch: &mut dyn FnMut(usize) -> bool,
) -> std::result::Result<(), RunError> {
    let mut done = 0;
    let mut watched = Instant::now();
    loop {
        match results.recv_timeout(WATCH_INTERVAL) {
            Ok((batch, vectors)) => {
                place(batch, &vectors?);
                done += batch.rows.len();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if watched.elapsed() >= WATCH_INTERVAL {
            watched = Instant::now();
            if !watch(done) {
                return Err(Error::Stopped.into());
            }
        }
    }
}

fn count_truncated(tokens: &[Tokens], options: &EncodeOptions, first: usize) -> Result<usize> {
    let mut long = tokens.iter().enumerate().filter(|(_, text)| text.truncated()).peekable();
    match long.peek() {
        Some((place, text)) if options.refuse_long => Err(Error::Value(format!(
            "texts[{}] has {} tokens, more than max_length {}. Split it, or pass on_truncate=\"warn\" or \"ignore\"",
            first + place,
            text.total,
            options.max_length
        ))),
        _ => Ok(long.count()),
    }
}
