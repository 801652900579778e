//! Batches run by one thread or several, chunk after chunk without a stop between; what they give comes back to the caller's thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use super::watcher::{Patience, Watcher, until};
use crate::Result;
use crate::batch::Batch;
use crate::outputs::Outcome;
use crate::panics::caught;

/// What happens while chunks `C` of batches are run.
pub(crate) enum Event<C, T> {
    /// The next chunk begins. Chunks begin in order, though their batches may end out of order.
    Begun(Arc<C>),
    /// A batch of a chunk, by its place there, gave a result for each of its rows.
    Ran(Arc<C>, usize, Outcome<Vec<T>>),
    /// There is no next chunk, since this went wrong.
    Failed(crate::Error),
}

/// Batches of one chunk after another. `run` gives a result for each row of one, and may be called from several threads at once.
pub(crate) struct Work<'a, C, T> {
    feed: Mutex<Feed<'a, C>>,
    run: &'a Run<'a, C, T>,
    stop: &'a AtomicBool,
}

type Run<'a, C, T> = dyn Fn(&C, &Batch, &mut Watcher) -> Outcome<Vec<T>> + Sync + 'a;
/// Takes what happens, in the caller's thread, and tells how many items that brought.
type Take<'a, C, T> = dyn FnMut(Event<C, T>) -> Result<usize> + 'a;

struct Feed<'a, C> {
    chunks: Box<dyn Iterator<Item = Result<C>> + Send + 'a>,
    chunk: Option<Arc<C>>,
    next: usize,
}

impl<'a, C: AsRef<[Batch]> + Send + Sync, T: Send> Work<'a, C, T> {
    /// `stop` is set where the call ends before its work does.
    pub(crate) fn new(
        chunks: impl Iterator<Item = Result<C>> + Send + 'a,
        run: &'a Run<'a, C, T>,
        stop: &'a AtomicBool,
    ) -> Self {
        let feed = Feed { chunks: Box::new(chunks), chunk: None, next: 0 };
        Self { feed: Mutex::new(feed), run, stop }
    }

    /// Runs all batches by up to `workers` threads.
    pub(crate) fn finish(self, workers: usize, take: &mut Take<C, T>, watcher: &mut Watcher) -> Result<()> {
        // In the caller's thread where one run is all there is: handing over costs a quarter of a query's time.
        if workers < 2 { self.here(take, watcher) } else { self.on_threads(workers, take, watcher) }
    }

    fn here(&self, take: &mut Take<C, T>, watcher: &mut Watcher) -> Result<()> {
        let mut events = Vec::new();
        loop {
            let goes_on = self.step(&mut |event| events.push(event), watcher);
            for event in events.drain(..) {
                watcher.saw(take(event)?)?;
            }
            if !goes_on {
                return Ok(());
            }
        }
    }

    fn on_threads(&self, workers: usize, take: &mut Take<C, T>, watcher: &mut Watcher) -> Result<()> {
        // Results wait where the caller is slower, not memory grows.
        let (sender, events) = sync_channel(workers);
        std::thread::scope(|scope| {
            let start = |_: &usize| {
                let sender = sender.clone();
                let work = move || {
                    let mut goes_on = until(self.stop);
                    let mut watcher = Watcher::new(&mut goes_on, Patience::default());
                    let mut send = |event| {
                        if sender.send(event).is_err() {
                            self.stop.store(true, Ordering::Relaxed);
                        }
                    };
                    while self.step(&mut send, &mut watcher) {}
                };
                Builder::new().name("bge-fast-run".into()).spawn_scoped(scope, work).is_ok()
            };
            let started = (0..workers).take_while(start).count();
            drop(sender);
            // Where the system starts no more threads, the caller's own does the work.
            let outcome = if started == 0 { self.here(take, watcher) } else { collect(&events, take, watcher) };
            self.stop.store(true, Ordering::Relaxed);
            // A worker may be waiting to hand over what nobody takes any more.
            drop(events);
            outcome
        })
    }

    /// Runs the next batch that nobody took; false when there is none or the call ended.
    fn step(&self, tell: &mut dyn FnMut(Event<C, T>), watcher: &mut Watcher) -> bool {
        let Some((chunk, place)) = self.next(tell) else { return false };
        // A panic ends this call alone, with its words.
        let ran = caught(|| Ok((self.run)(&chunk, &(*chunk).as_ref()[place], watcher)));
        tell(Event::Ran(chunk, place, ran.unwrap_or_else(|error| Err(error.into()))));
        true
    }

    /// The next batch; whoever finds its chunk at an end begins the next one, so that all hear of chunks in order.
    fn next(&self, tell: &mut dyn FnMut(Event<C, T>)) -> Option<(Arc<C>, usize)> {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.stop.load(Ordering::Relaxed) {
            if let Some(chunk) = &feed.chunk
                && feed.next < (**chunk).as_ref().len()
            {
                let taken = (Arc::clone(chunk), feed.next);
                feed.next += 1;
                return Some(taken);
            }
            match feed.chunks.next()? {
                Ok(chunk) => {
                    let chunk = Arc::new(chunk);
                    tell(Event::Begun(Arc::clone(&chunk)));
                    (feed.chunk, feed.next) = (Some(chunk), 0);
                }
                Err(error) => {
                    self.stop.store(true, Ordering::Relaxed);
                    tell(Event::Failed(error));
                }
            }
        }
        None
    }
}

fn collect<C, T>(events: &Receiver<Event<C, T>>, take: &mut Take<C, T>, watcher: &mut Watcher) -> Result<()> {
    loop {
        match events.recv_timeout(watcher.interval()) {
            Ok(event) => watcher.saw(take(event)?)?,
            Err(RecvTimeoutError::Timeout) => watcher.look()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
