//! Batches run by one thread or several; what they give comes back to the caller's thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::outputs::Outcome;
use crate::panics::caught;
use crate::{Error, Result};

/// How often a waiting caller's watcher is asked.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// The batches of one window. `run` gives a result for each row of one, and may be called from several threads at once.
pub(crate) struct Work<'a, T> {
    batches: &'a [Batch],
    run: &'a (dyn Fn(&Batch) -> Outcome<Vec<T>> + Sync),
    next: AtomicUsize,
    stop: AtomicBool,
}

impl<'a, T: Send> Work<'a, T> {
    pub(crate) fn new(batches: &'a [Batch], run: &'a (dyn Fn(&Batch) -> Outcome<Vec<T>> + Sync)) -> Self {
        Self { batches, run, next: AtomicUsize::new(0), stop: AtomicBool::new(false) }
    }

    /// Runs all batches by up to `workers` threads; `put` gets each row's result in the caller's.
    pub(crate) fn finish(
        &self,
        workers: usize,
        put: &mut dyn FnMut(usize, T) -> Result<()>,
        watcher: Watcher,
    ) -> Outcome<()> {
        let workers = workers.min(self.batches.len());
        // In the caller's thread where one run is all there is: handing over costs a quarter of a query's time.
        if workers < 2 { self.here(put, watcher) } else { self.on_threads(workers, put, watcher) }
    }

    fn here(&self, put: &mut dyn FnMut(usize, T) -> Result<()>, mut watcher: Watcher) -> Outcome<()> {
        while let Some((batch, result)) = self.run_next() {
            hand_out(batch, result?, put)?;
            watcher.saw(batch)?;
        }
        Ok(())
    }

    fn on_threads(&self, workers: usize, put: &mut dyn FnMut(usize, T) -> Result<()>, watcher: Watcher) -> Outcome<()> {
        // Results wait where the caller is slower, not memory grows.
        let (sender, results) = sync_channel(workers);
        std::thread::scope(|scope| {
            let start = |_: &usize| {
                let sender = sender.clone();
                let work = move || {
                    while let Some(result) = self.run_next()
                        && sender.send(result).is_ok()
                    {}
                };
                Builder::new().name("bge-fast-run".into()).spawn_scoped(scope, work).is_ok()
            };
            let started = (0..workers).take_while(start).count();
            drop(sender);
            // Where the system starts no more threads, the caller's own does the work.
            let outcome = if started == 0 { self.here(put, watcher) } else { collect(&results, put, watcher) };
            self.stop.store(true, Ordering::Relaxed);
            // A worker may be waiting to hand over what nobody takes any more.
            drop(results);
            outcome
        })
    }

    /// Runs the next batch that nobody took; `None` when there is none or the call ended.
    fn run_next(&self) -> Option<(&'a Batch, Outcome<Vec<T>>)> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let batch = self.batches.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        // A panic ends this call alone, with its words.
        let outcome = caught(|| Ok((self.run)(batch))).unwrap_or_else(|error| Err(error.into()));
        Some((batch, outcome))
    }
}

fn collect<T>(
    results: &Receiver<(&Batch, Outcome<Vec<T>>)>,
    put: &mut dyn FnMut(usize, T) -> Result<()>,
    mut watcher: Watcher,
) -> Outcome<()> {
    loop {
        match results.recv_timeout(WATCH_INTERVAL) {
            Ok((batch, result)) => {
                hand_out(batch, result?, put)?;
                watcher.saw(batch)?;
            }
            Err(RecvTimeoutError::Timeout) => watcher.look()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

fn hand_out<T>(batch: &Batch, results: Vec<T>, put: &mut dyn FnMut(usize, T) -> Result<()>) -> Result<()> {
    batch.rows.iter().zip(results).try_for_each(|(&row, result)| put(row, result))
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
