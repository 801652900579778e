//! Batches run by one thread or several; what they give comes back to the caller's thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::{Error, Result};

/// How often a waiting caller's watcher is asked.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// Why a batch gave no result.
pub(crate) enum RunError {
    /// A number of this text, by its place in the window, is not finite.
    NotFinite {
        row: usize,
    },
    /// An id of this text has no row in the word table.
    BeyondTable {
        row: usize,
        token: String,
        id: u32,
        rows: usize,
    },
    Other(Error),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl RunError {
    /// `item` names what was asked for, such as `texts`; `first` is the place of the window's first one.
    pub(crate) fn name(self, item: &str, first: usize) -> Error {
        match self {
            Self::Other(error) => error,
            Self::BeyondTable { row, token, id, rows } => Error::ModelFormat(format!(
                "{item}[{}] has the token id {id} ({token:?}), but the word table has {rows} rows: \
                 tokenizer.json belongs to another model",
                first + row
            )),
            Self::NotFinite { row } => Error::Numerics(format!(
                "the result for {item}[{}] is not finite. With an fp16 graph, try precision=\"fp32\"; with fp32 the weights are broken",
                first + row
            )),
        }
    }
}

pub(crate) type Outcome<T> = std::result::Result<T, RunError>;

/// The batches of one window. `run` may be called from several threads at once.
pub(crate) struct Work<'a, T> {
    batches: &'a [Batch],
    run: &'a (dyn Fn(&Batch) -> Outcome<T> + Sync),
    next: AtomicUsize,
    stop: AtomicBool,
}

impl<'a, T: Send> Work<'a, T> {
    pub(crate) fn new(batches: &'a [Batch], run: &'a (dyn Fn(&Batch) -> Outcome<T> + Sync)) -> Self {
        Self { batches, run, next: AtomicUsize::new(0), stop: AtomicBool::new(false) }
    }

    /// Runs all batches by up to `workers` threads; `put` gets each result in the caller's.
    pub(crate) fn finish(&self, workers: usize, put: &mut dyn FnMut(&Batch, T), watcher: Watcher) -> Outcome<()> {
        let workers = workers.min(self.batches.len());
        // In the caller's thread where one run is all there is: handing over costs a quarter of a query's time.
        if workers < 2 { self.here(put, watcher) } else { self.on_threads(workers, put, watcher) }
    }

    fn here(&self, put: &mut dyn FnMut(&Batch, T), mut watcher: Watcher) -> Outcome<()> {
        while let Some((batch, result)) = self.run_next() {
            put(batch, result?);
            watcher.saw(batch)?;
        }
        Ok(())
    }

    fn on_threads(&self, workers: usize, put: &mut dyn FnMut(&Batch, T), watcher: Watcher) -> Outcome<()> {
        // Results wait where the caller is slower, not memory grows.
        let (sender, results) = sync_channel(workers);
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
            // A worker may be waiting to hand over what nobody takes any more.
            drop(results);
            outcome
        })
    }

    /// Runs the next batch that nobody took; `None` when there is none or the call ended.
    fn run_next(&self) -> Option<(&'a Batch, Outcome<T>)> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let batch = self.batches.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        Some((batch, (self.run)(batch)))
    }
}

fn collect<T>(
    results: &Receiver<(&Batch, Outcome<T>)>,
    put: &mut dyn FnMut(&Batch, T),
    mut watcher: Watcher,
) -> Outcome<()> {
    loop {
        match results.recv_timeout(WATCH_INTERVAL) {
            Ok((batch, result)) => {
                put(batch, result?);
                watcher.saw(batch)?;
            }
            Err(RecvTimeoutError::Timeout) => watcher.look()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Tells the caller how far the call is, now and then, and asks whether to go on.
pub(crate) struct Watcher<'a> {
    tell: &'a mut dyn FnMut(usize) -> bool,
    done: usize,
    told: Instant,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(tell: &'a mut dyn FnMut(usize) -> bool) -> Self {
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
