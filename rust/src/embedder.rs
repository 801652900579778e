//! Texts → one matrix, in the texts' order.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::batch::{Batch, Inputs, TOKEN_BUDGET, plan, split_by_length};
use crate::graph::{Output, Variant};
use crate::pooling::{Finish, HiddenStates, Pooling};
use crate::sessions::{Place, Sessions, Source};
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

/// A tokenizer and a graph that belong together. Any number of threads may share one.
pub struct Embedder {
    tokenizer: Tokenizer,
    sessions: Sessions,
    dimension: usize,
}

impl Embedder {
    /// `dimension` is the length of a vector as `config.json` gives it.
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

    /// Encodes `texts`. While it waits, `watch` is told about every 50 ms how many texts are done, and stops the call by
    /// returning false.
    ///
    /// # Errors
    /// [`Error::Numerics`] or [`Error::Value`] naming a text by its place; [`Error::Stopped`]; those of [`crate::session::Session::run`].
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
            let tokens = self.tokenizer.encode_many(window, options.max_length, self.sessions.threads())?;
            all.truncated += count_truncated(&tokens, options, first)?;
            self.check_ids(&tokens, first)?;
            let rows = &mut all.values[first * dimension..(first + window.len()) * dimension];
            self.encode_window(&tokens, options, rows, &mut |done| watch(first + done))
                .map_err(|error| error.name_text(first))?;
        }
        Ok(all)
    }

    /// Sees that every id has a row in the word table, where the size of that is known.
    fn check_ids(&self, tokens: &[Tokens], first: usize) -> Result<()> {
        let Source::Checkpoint(checkpoint) = self.sessions.source() else { return Ok(()) };
        let rows = checkpoint.encoder().vocab_size;
        let beyond = |&id: &u32| usize::try_from(id).is_ok_and(|id| id >= rows);
        let found =
            tokens.iter().enumerate().find_map(|(place, text)| Some((place, *text.ids.iter().find(|id| beyond(id))?)));
        found.map_or(Ok(()), |(place, id)| {
            Err(Error::ModelFormat(format!(
                "texts[{}] has the token id {id}, but the word table has {rows} rows: tokenizer.json belongs to another model",
                first + place
            )))
        })
    }

    fn encode_window(
        &self,
        tokens: &[Tokens],
        options: &EncodeOptions,
        rows: &mut [f32],
        watch: &mut dyn FnMut(usize) -> bool,
    ) -> std::result::Result<(), RunError> {
        let lengths: Vec<usize> = tokens.iter().map(|text| text.ids.len()).collect();
        let mut batches = plan(&lengths, TOKEN_BUDGET, options.batch_size);
        let place = self.sessions.for_batches(batches.len())?;
        let output = options.pooling.output();
        // Two forms of attention: with a mask for padded batches, without one for the rest.
        if batches.iter().any(|batch| batch.padded) && place.session(Variant { output, mask: true })?.is_none() {
            batches = split_by_length(&batches, &lengths);
        }
        let mut put = |batch: &Batch, vectors: &[f32]| {
            let dimension = vectors.len() / batch.rows.len();
            for (&row, vector) in batch.rows.iter().zip(vectors.chunks(dimension)) {
                rows[row * dimension..][..dimension].copy_from_slice(vector);
            }
        };
        let work = Work {
            place,
            output,
            dimension: self.dimension,
            batches: &batches,
            tokens,
            options,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        };
        let workers = place.runs().min(batches.len());
        // In the caller's thread where one run is all there is: handing over costs a quarter of a query's time.
        if workers < 2 {
            work.here(&mut put, Watcher::new(watch))
        } else {
            work.on_threads(workers, &mut put, Watcher::new(watch))
        }
    }
}

type BatchResult<'a> = (&'a Batch, std::result::Result<Vec<f32>, RunError>);
type Put<'a> = dyn FnMut(&Batch, &[f32]) + 'a;

/// The batches of one window, to be run by one thread or several.
struct Work<'a> {
    place: Place<'a>,
    output: Output,
    dimension: usize,
    batches: &'a [Batch],
    tokens: &'a [Tokens],
    options: &'a EncodeOptions,
    next: AtomicUsize,
    stop: AtomicBool,
}

impl<'a> Work<'a> {
    fn here(&self, put: &mut Put, mut watcher: Watcher) -> std::result::Result<(), RunError> {
        while let Some((batch, vectors)) = self.run_next() {
            put(batch, &vectors?);
            watcher.saw(batch)?;
        }
        Ok(())
    }

    fn on_threads(&self, workers: usize, put: &mut Put, watcher: Watcher) -> std::result::Result<(), RunError> {
        let (sender, results) = channel();
        std::thread::scope(|scope| {
            for _ in 0..workers {
                let sender = sender.clone();
                scope.spawn(move || {
                    while let Some(result) = self.run_next()
                        && sender.send(result).is_ok()
                    {}
                });
            }
            drop(sender);
            let outcome = collect(&results, put, watcher);
            self.stop.store(true, Ordering::Relaxed);
            outcome
        })
    }

    /// Runs the next batch that nobody took; `None` when there is none or the call ended.
    fn run_next(&self) -> Option<BatchResult<'a>> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let batch = self.batches.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        Some((batch, self.run(batch)))
    }

    /// One batch's finished rows.
    fn run(&self, batch: &Batch) -> std::result::Result<Vec<f32>, RunError> {
        let variant = Variant { output: self.output, mask: batch.padded };
        let session = self.place.session(variant)?.ok_or_else(|| {
            let reason = "the model's files were replaced or deleted since it was opened, and this call needs another form of its graph";
            Error::ModelFormat(format!("{reason}. Open the model again"))
        })?;
        let inputs = Inputs::new(batch, self.tokens, session.encoding().pad_id);
        let pooled = session.run(&inputs, |shape, values| {
            let states = HiddenStates::new(shape, values, inputs.rows, inputs.length)?;
            if states.hidden != self.dimension {
                return Err(Error::ModelFormat(format!(
                    "the graph's vectors have {} numbers, config.json says hidden_size {}",
                    states.hidden, self.dimension
                )));
            }
            Ok(states.pool(self.options.pooling, self.options.finish, &inputs.lengths))
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

fn collect(results: &Receiver<BatchResult>, put: &mut Put, mut watcher: Watcher) -> std::result::Result<(), RunError> {
    loop {
        match results.recv_timeout(WATCH_INTERVAL) {
            Ok((batch, vectors)) => {
                put(batch, &vectors?);
                watcher.saw(batch)?;
            }
            Err(RecvTimeoutError::Timeout) => watcher.look()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Tells the caller how far the call is, now and then, and asks whether to go on.
struct Watcher<'a> {
    tell: &'a mut dyn FnMut(usize) -> bool,
    done: usize,
    told: Instant,
}

impl<'a> Watcher<'a> {
    fn new(tell: &'a mut dyn FnMut(usize) -> bool) -> Self {
        Self { tell, done: 0, told: Instant::now() }
    }

    fn saw(&mut self, batch: &Batch) -> Result<()> {
        self.done += batch.rows.len();
        self.look()
    }

    fn look(&mut self) -> Result<()> {
        if self.told.elapsed() < WATCH_INTERVAL {
            return Ok(());
        }
        self.told = Instant::now();
        if (self.tell)(self.done) { Ok(()) } else { Err(Error::Stopped) }
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
