//! One call: its items window by window, the next one tokenized while one is run.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Builder;

use super::model::{Model, Rows, Verb, not_finite};
use super::windows::{Window, Windows};
use crate::batch::Batch;
use crate::outputs::{Outcome, RowError};
use crate::panics::caught;
use crate::run::{Event, Place, Watcher, Work};
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// What one call does.
pub(super) struct Call<'a, I, V> {
    model: &'a Model,
    items: &'a [I],
    verb: &'a V,
    windows: Mutex<Windows<'a, I>>,
    place: OnceLock<Place<'a>>,
    stop: AtomicBool,
}

/// A window's items as they are run.
pub(super) struct Chunk {
    window: Window,
    tokens: Vec<Tokens>,
    batches: Vec<Batch>,
}

impl AsRef<[Batch]> for Chunk {
    fn as_ref(&self) -> &[Batch] {
        &self.batches
    }
}

impl<'a, I: Sync, V: Verb<I>> Call<'a, I, V> {
    pub(super) fn new(model: &'a Model, items: &'a [I], verb: &'a V) -> Self {
        let windows = Mutex::new(Windows::new(items, V::texts));
        Self { model, items, verb, windows, place: OnceLock::new(), stop: AtomicBool::new(false) }
    }

    /// Does all of it; each row goes to `rows`.
    pub(super) fn finish(&self, rows: &mut dyn Rows<V::Row>, watcher: &mut Watcher) -> Result<()> {
        let Some(first) = self.next(&mut || watcher.look()).transpose()? else { return Ok(()) };
        let place = self.place(|| first.batches.len())?;
        let mut results = Results { rows, items: V::ITEMS, open: VecDeque::new() };
        if !self.ended() {
            return self.stream(first, place, &mut results, watcher);
        }
        if let [batch] = &first.batches[..] {
            let mut small = self.model.run_small(place, &first.tokens, self.verb, watcher);
            if let Ok(rows) = &mut small {
                in_order_of(batch, rows);
            }
            let chunk = Arc::new(first);
            results.take(Event::Begun(Arc::clone(&chunk)))?;
            return results.take(Event::Ran(chunk, 0, small)).map(drop);
        }
        place.queue().admit(watcher)?;
        let workers = place.workers().min(first.batches.len());
        let run = self.run(place);
        let work = Work::new(std::iter::once(Ok(first)), &run, &self.stop);
        work.finish(workers, &mut |event| results.take(event), watcher)
    }

    /// Runs the first chunk and those behind it, which a thread of their own tokenizes meanwhile.
    fn stream(
        &self,
        first: Chunk,
        place: Place<'a>,
        results: &mut Results<V::Row>,
        watcher: &mut Watcher,
    ) -> Result<()> {
        place.queue().admit(watcher)?;
        let run = self.run(place);
        let mut take = |event| results.take(event);
        std::thread::scope(|scope| {
            let (sender, chunks) = sync_channel(1);
            let tokenize = move || {
                while let Some(chunk) = self.next(&mut || self.goes_on()) {
                    let failed = chunk.is_err();
                    if sender.send(chunk).is_err() || failed {
                        break;
                    }
                }
            };
            let started = Builder::new().name("bge-fast-ahead".into()).spawn_scoped(scope, tokenize).is_ok();
            // Where the system starts no more threads, whoever needs a chunk tokenizes it.
            let here = std::iter::from_fn(move || if started { None } else { self.next(&mut || self.goes_on()) });
            let chunks = std::iter::once(Ok(first)).chain(chunks).chain(here);
            let outcome = Work::new(chunks, &run, &self.stop).finish(place.workers(), &mut take, watcher);
            self.stop.store(true, Ordering::Relaxed);
            outcome
        })
    }

    fn run(&self, place: Place<'a>) -> impl Fn(&Chunk, &Batch, &mut Watcher) -> Outcome<Vec<V::Row>> + Sync {
        move |chunk, batch, watcher| {
            self.model.run_batch(place, &chunk.tokens, batch, self.verb, |watcher| place.enter(watcher), watcher)
        }
    }

    fn goes_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// The next window, tokenized and planned.
    fn next(&self, goes_on: &mut dyn FnMut() -> Result<()>) -> Option<Result<Chunk>> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.next().map(|window| caught(|| self.chunk(window, goes_on)))
    }

    fn chunk(&self, window: Window, goes_on: &mut dyn FnMut() -> Result<()>) -> Result<Chunk> {
        let Self { model, items, verb, .. } = self;
        model.sessions().check()?;
        let name = |row: usize| format!("{}[{}]", V::ITEMS, window.new[row]);
        let tokens = model.tokens(items, *verb, &window, &name, goes_on)?;
        let place = self.place(|| model.planned(&tokens, *verb).len())?;
        let batches = model.batches(place, &tokens, *verb)?;
        Ok(Chunk { window, tokens, batches })
    }

    /// Where the call runs: that is decided by its first window.
    fn place(&self, batches: impl FnOnce() -> usize) -> Result<Place<'a>> {
        if let Some(place) = self.place.get() {
            return Ok(*place);
        }
        let place = self.model.sessions().for_batches(batches())?;
        Ok(*self.place.get_or_init(|| place))
    }

    fn ended(&self) -> bool {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).ended()
    }
}

/// Brings rows in the order of a batch.
fn in_order_of<R>(batch: &Batch, rows: &mut Vec<R>) {
    let mut taken: Vec<Option<R>> = rows.drain(..).map(Some).collect();
    rows.extend(batch.rows.iter().filter_map(|&row| taken[row].take()));
}

/// Takes what is done, in whatever order it comes, and gives items that come again the row of the first.
struct Results<'r, R> {
    rows: &'r mut dyn Rows<R>,
    items: &'static str,
    /// Chunks that began, each with the number of batches that are still to come.
    open: VecDeque<(Arc<Chunk>, usize)>,
}

impl<R> Results<'_, R> {
    /// How many items are done by this.
    fn take(&mut self, event: Event<Chunk, R>) -> Result<usize> {
        let done = match event {
            Event::Failed(error) => return Err(error),
            Event::Begun(chunk) => {
                chunk.window.expect(&chunk.tokens, self.rows);
                let batches = chunk.batches.len();
                self.open.push_back((chunk, batches));
                0
            }
            Event::Ran(chunk, batch, results) => {
                let batch = &chunk.batches[batch];
                let results = results.map_err(|error| match error {
                    RowError::Other(error) => error,
                    RowError::NotFinite { row } => not_finite(&format!("{}[{}]", self.items, chunk.window.new[row])),
                })?;
                for (&row, result) in batch.rows.iter().zip(results) {
                    self.rows.put(chunk.window.new[row], result)?;
                }
                if let Some((_, left)) = self.open.iter_mut().find(|(open, _)| Arc::ptr_eq(open, &chunk)) {
                    *left -= 1;
                }
                batch.rows.len()
            }
        };
        Ok(done + self.copy()?)
    }

    /// Once all of the oldest chunks is there, what comes again in them is too.
    fn copy(&mut self) -> Result<usize> {
        let mut done = 0;
        while let Some((chunk, 0)) = self.open.front() {
            chunk.window.again.iter().try_for_each(|&(place, first)| self.rows.copy(first, place))?;
            done += chunk.window.again.len();
            self.open.pop_front();
        }
        Ok(done)
    }
}
