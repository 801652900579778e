//! Who waits for a run. Oldest first; and who gets one may take others along who wait for the same.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::watcher::Watcher;
use crate::{Error, Result};

/// So long after somebody came more are expected.
const RECENT: Duration = Duration::from_millis(200);

/// Those who wait that one who has a run looks at.
const LOOKED_AT: usize = 256;

/// Lets a fixed number of callers in, in the order in which they came. No thread of its own: whoever has a run does the work.
///
/// A run belongs to a lane, such as a device; the first lane that is free is taken.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Told when somebody leaves.
    left: Condvar,
}

struct State {
    /// All there are, but those of lost lanes.
    runs: usize,
    /// The lanes of those that nobody has; the last one is next.
    free: Vec<usize>,
    lost: Vec<usize>,
    /// Why the last one was.
    why: String,
    waiting: VecDeque<Arc<Waiter>>,
    /// How many have left.
    ended: usize,
    /// When somebody came last.
    came: Option<Instant>,
}

struct Waiter {
    request: Option<Arc<dyn Any + Send + Sync>>,
    served: AtomicBool,
    woken: Condvar,
}

/// How waiting ended.
pub(crate) enum Turn<'a, R> {
    /// A run is this caller's.
    Own(Permit<'a>),
    /// Another one took the request along.
    Served(Arc<R>),
}

impl Queue {
    /// As many runs as there are `lanes`, which names one for each.
    pub(super) fn new(mut lanes: Vec<usize>) -> Self {
        lanes.reverse();
        let state = State {
            runs: lanes.len(),
            free: lanes,
            lost: Vec::new(),
            why: String::new(),
            waiting: VecDeque::new(),
            ended: 0,
            came: None,
        };
        Self { state: Mutex::new(state), left: Condvar::new() }
    }

    /// Lets nobody in any more to runs of a lane, which is lost. Who comes when no lane is left hears `why`.
    pub(super) fn lose(&self, lane: usize, why: &str) {
        let mut state = self.lock();
        state.lost.push(lane);
        why.clone_into(&mut state.why);
        let before = state.free.len();
        state.free.retain(|&free| free != lane);
        state.runs -= before - state.free.len();
        state.wake_all_without_runs();
    }

    /// Waits for a run. While waiting, what `request` gives may be taken along by others ([`Permit::take_along`]).
    pub(crate) fn enter<R: Any + Send + Sync>(
        &self,
        request: impl FnOnce() -> Option<Arc<R>>,
        watcher: &mut Watcher,
    ) -> Result<Turn<'_, R>> {
        let mut state = self.lock();
        state.came = Some(Instant::now());
        if state.waiting.is_empty()
            && let Some(lane) = state.free.pop()
        {
            return Ok(Turn::Own(Permit { queue: self, lane }));
        }
        state.check_runs()?;
        watcher.may_wait_behind(state.waiting.len())?;
        let request = request();
        let erased = request.clone().map(|request| request as Arc<dyn Any + Send + Sync>);
        let me = Arc::new(Waiter { request: erased, served: AtomicBool::new(false), woken: Condvar::new() });
        state.waiting.push_back(Arc::clone(&me));
        loop {
            if let (true, Some(request)) = (me.served.load(Ordering::Relaxed), &request) {
                return Ok(Turn::Served(Arc::clone(request)));
            }
            if let Some(lane) = state.lane_of_next(&me) {
                state.wake_next();
                return Ok(Turn::Own(Permit { queue: self, lane }));
            }
            if let Err(error) = state.check_runs() {
                drop(state);
                self.leave(&me);
                return Err(error);
            }
            let waited = me.woken.wait_timeout(state, watcher.interval()).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() {
                // The watcher may wait for Python's lock.
                drop(state);
                watcher.look().inspect_err(|_| self.leave(&me))?;
                state = self.lock();
            }
        }
    }

    /// Waits for a run of one's own.
    pub(crate) fn enter_alone(&self, watcher: &mut Watcher) -> Result<Permit<'_>> {
        loop {
            if let Turn::Own(permit) = self.enter(|| None::<Arc<()>>, watcher)? {
                return Ok(permit);
            }
        }
    }

    /// Waits until one of those who are in has left, if there are any.
    pub(super) fn let_by(&self, watcher: &mut Watcher) -> Result<()> {
        let mut state = self.lock();
        let ended = state.ended;
        while state.ended == ended && (state.free.len() < state.runs || !state.waiting.is_empty()) {
            let waited = self.left.wait_timeout(state, watcher.interval());
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            watcher.look()?;
            state = self.lock();
        }
        Ok(())
    }

    /// Whether somebody came of late.
    pub(super) fn is_visited(&self) -> bool {
        self.lock().came.is_some_and(|came| came.elapsed() < RECENT)
    }

    /// Whether a call that finds no free run may wait.
    pub(crate) fn admit(&self, watcher: &mut Watcher) -> Result<()> {
        let state = self.lock();
        if !state.free.is_empty() && state.waiting.is_empty() {
            Ok(())
        } else {
            watcher.may_wait_behind(state.waiting.len())
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Waits no more.
    fn leave(&self, me: &Arc<Waiter>) {
        let mut state = self.lock();
        state.waiting.retain(|waiter| !Arc::ptr_eq(waiter, me));
        state.wake_next();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The lane of a run for one who waits, if it is its turn.
    fn lane_of_next(&mut self, me: &Arc<Waiter>) -> Option<usize> {
        if !self.waiting.front().is_some_and(|first| Arc::ptr_eq(first, me)) {
            return None;
        }
        let lane = self.free.pop()?;
        self.waiting.pop_front();
        Some(lane)
    }

    fn check_runs(&self) -> Result<()> {
        if self.runs > 0 { Ok(()) } else { Err(Error::Device(self.why.clone())) }
    }

    fn wake_all_without_runs(&self) {
        if self.runs == 0 {
            self.waiting.iter().for_each(|waiter| waiter.woken.notify_one());
        }
    }

    fn wake_next(&self) {
        if let (false, Some(first)) = (self.free.is_empty(), self.waiting.front()) {
            first.woken.notify_one();
        }
    }
}

/// Held while inside; the next caller comes in when it is dropped.
pub(crate) struct Permit<'a> {
    queue: &'a Queue,
    lane: usize,
}

impl<'a> Permit<'a> {
    /// Where the run is.
    pub(crate) fn lane(&self) -> usize {
        self.lane
    }

    /// Takes those out of the queue that `choose` names by their places among those with requests of this kind.
    pub(crate) fn take_along<R: Any + Send + Sync>(
        &self,
        choose: impl FnOnce(&[Arc<R>]) -> Vec<usize>,
    ) -> Vec<TakenAlong<'a, R>> {
        let mut state = self.queue.lock();
        let of_kind = |waiter: &Arc<Waiter>| {
            let request = Arc::downcast::<R>(waiter.request.clone()?).ok()?;
            Some((Arc::clone(waiter), request))
        };
        let (waiters, requests): (Vec<_>, Vec<_>) = state.waiting.iter().filter_map(of_kind).take(LOOKED_AT).unzip();
        if requests.is_empty() {
            return Vec::new();
        }
        let chosen = choose(&requests).into_iter();
        let taken: Vec<_> = chosen
            .map(|place| (Arc::clone(&waiters[place]), Arc::clone(&requests[place])))
            .map(|(waiter, request)| TakenAlong { queue: self.queue, waiter, request })
            .collect();
        state.waiting.retain(|waiter| !taken.iter().any(|one| Arc::ptr_eq(&one.waiter, waiter)));
        taken
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if state.lost.contains(&self.lane) {
            state.runs -= 1;
            state.wake_all_without_runs();
        } else {
            state.free.push(self.lane);
        }
        state.ended += 1;
        state.wake_next();
        self.queue.left.notify_all();
    }
}

/// One whose request another caller runs. When this is dropped it waits no more, whether or not there is an answer.
pub(crate) struct TakenAlong<'a, R> {
    queue: &'a Queue,
    waiter: Arc<Waiter>,
    pub(crate) request: Arc<R>,
}

impl<R> Drop for TakenAlong<'_, R> {
    fn drop(&mut self) {
        let _state = self.queue.lock();
        self.waiter.served.store(true, Ordering::Relaxed);
        self.waiter.woken.notify_one();
    }
}

#[cfg(test)]
mod tests;
