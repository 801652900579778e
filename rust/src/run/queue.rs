//! Who waits for a run. Oldest first; and who gets one may take others along who wait for the same.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::watcher::Watcher;
use crate::Result;

/// Those who wait that one who has a run looks at.
const LOOKED_AT: usize = 256;

/// Lets a fixed number of callers in, in the order in which they came. No thread of its own: whoever has a run does the work.
pub(crate) struct Queue {
    runs: usize,
    state: Mutex<State>,
    /// Told when somebody leaves.
    left: Condvar,
}

struct State {
    free: usize,
    waiting: VecDeque<Arc<Waiter>>,
    /// How many have left.
    ended: usize,
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
    pub(super) fn new(runs: usize) -> Self {
        let state = State { free: runs, waiting: VecDeque::new(), ended: 0 };
        Self { runs, state: Mutex::new(state), left: Condvar::new() }
    }

    /// Waits for a run. While waiting, what `request` gives may be taken along by others ([`Permit::take_along`]).
    pub(crate) fn enter<R: Any + Send + Sync>(
        &self,
        request: impl FnOnce() -> Option<Arc<R>>,
        watcher: &mut Watcher,
    ) -> Result<Turn<'_, R>> {
        let mut state = self.lock();
        if state.free > 0 && state.waiting.is_empty() {
            state.free -= 1;
            return Ok(Turn::Own(Permit(self)));
        }
        watcher.may_wait_behind(state.waiting.len())?;
        let request = request();
        let erased = request.clone().map(|request| request as Arc<dyn Any + Send + Sync>);
        let me = Arc::new(Waiter { request: erased, served: AtomicBool::new(false), woken: Condvar::new() });
        state.waiting.push_back(Arc::clone(&me));
        loop {
            if let (true, Some(request)) = (me.served.load(Ordering::Relaxed), &request) {
                return Ok(Turn::Served(Arc::clone(request)));
            }
            if state.is_next(&me) {
                state.waiting.pop_front();
                state.free -= 1;
                state.wake_next();
                return Ok(Turn::Own(Permit(self)));
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
        while state.ended == ended && (state.free < self.runs || !state.waiting.is_empty()) {
            let waited = self.left.wait_timeout(state, watcher.interval());
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            watcher.look()?;
            state = self.lock();
        }
        Ok(())
    }

    /// Whether a call that finds no free run may wait.
    pub(crate) fn admit(&self, watcher: &mut Watcher) -> Result<()> {
        let state = self.lock();
        if state.free > 0 && state.waiting.is_empty() { Ok(()) } else { watcher.may_wait_behind(state.waiting.len()) }
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
    fn is_next(&self, waiter: &Arc<Waiter>) -> bool {
        self.free > 0 && self.waiting.front().is_some_and(|first| Arc::ptr_eq(first, waiter))
    }

    fn wake_next(&self) {
        if let (1.., Some(first)) = (self.free, self.waiting.front()) {
            first.woken.notify_one();
        }
    }
}

/// Held while inside; the next caller comes in when it is dropped.
pub(crate) struct Permit<'a>(&'a Queue);

impl<'a> Permit<'a> {
    /// Takes those out of the queue that `choose` names by their places among those with requests of this kind.
    pub(crate) fn take_along<R: Any + Send + Sync>(
        &self,
        choose: impl FnOnce(&[Arc<R>]) -> Vec<usize>,
    ) -> Vec<TakenAlong<'a, R>> {
        let mut state = self.0.lock();
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
            .map(|(waiter, request)| TakenAlong { queue: self.0, waiter, request })
            .collect();
        state.waiting.retain(|waiter| !taken.iter().any(|one| Arc::ptr_eq(&one.waiter, waiter)));
        taken
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.free += 1;
        state.ended += 1;
        state.wake_next();
        self.0.left.notify_all();
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Error;
    use crate::run::Patience;

    type Number = Mutex<u32>;

    fn enter(queue: &Queue, of: u32, patience: Patience) -> Result<Turn<'_, Number>> {
        enter_while(queue, of, patience, true)
    }

    fn enter_while(queue: &Queue, of: u32, patience: Patience, goes_on: bool) -> Result<Turn<'_, Number>> {
        queue.enter(|| Some(Arc::new(Mutex::new(of))), &mut Watcher::new(&mut |_| goes_on, patience))
    }

    fn wait_until(queue: &Queue, waiting: usize) {
        while queue.lock().waiting.len() < waiting {
            std::thread::yield_now();
        }
    }

    /// Takes everybody along and doubles their numbers.
    fn double_all(permit: &Permit) -> usize {
        let others = permit.take_along(|all: &[Arc<Number>]| (0..all.len()).collect());
        for other in &others {
            *other.request.lock().expect("no panic") *= 2;
        }
        others.len()
    }

    #[test]
    fn who_waits_is_taken_along_and_gets_the_own_answer() {
        let queue = Queue::new(1);
        let Ok(Turn::Own(permit)) = enter(&queue, 0, Patience::default()) else { panic!("it is idle") };
        std::thread::scope(|scope| {
            let start = |of| {
                let queue = &queue;
                scope.spawn(move || match enter(queue, of, Patience::default()) {
                    Ok(Turn::Served(request)) => *request.lock().expect("no panic"),
                    _ => panic!("nobody took it along"),
                })
            };
            let others: Vec<_> = (1..=8).map(start).collect();
            wait_until(&queue, 8);
            assert_eq!(double_all(&permit), 8);
            let doubled: Vec<u32> = others.into_iter().map(|other| other.join().expect("no panic")).collect();
            assert_eq!(doubled, [2, 4, 6, 8, 10, 12, 14, 16]);
        });
        drop(permit);
        assert_eq!(queue.lock().free, 1);
    }

    #[test]
    fn the_oldest_comes_first_and_bulk_work_lets_one_by() {
        let queue = Queue::new(1);
        let Ok(Turn::Own(permit)) = enter(&queue, 0, Patience::default()) else { panic!("it is idle") };
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for of in 1..=4 {
                let (queue, order) = (&queue, &order);
                scope.spawn(move || {
                    let Ok(Turn::Own(_permit)) = enter(queue, of, Patience::default()) else { panic!("no turn") };
                    order.lock().expect("no panic").push(of);
                });
                wait_until(queue, usize::try_from(of).expect("small"));
            }
            let bulk = scope.spawn(|| queue.let_by(&mut Watcher::new(&mut |_| true, Patience::default())));
            drop(permit);
            bulk.join().expect("no panic").expect("lets by");
        });
        assert_eq!(order.into_inner().expect("no panic"), [1, 2, 3, 4]);
    }

    #[test]
    fn who_gives_up_leaves_and_the_next_one_comes() {
        let queue = Queue::new(1);
        let Ok(Turn::Own(permit)) = enter(&queue, 0, Patience::default()) else { panic!("it is idle") };
        let soon = Patience { timeout: Some(Duration::from_millis(20)), ..Patience::default() };
        assert!(matches!(enter(&queue, 1, soon), Err(Error::Timeout(_))));
        let none = Patience { max_queue: Some(0), ..Patience::default() };
        assert!(matches!(enter(&queue, 1, none), Err(Error::QueueFull(_))));
        assert!(matches!(enter_while(&queue, 1, Patience::default(), false), Err(Error::Stopped)));
        assert!(queue.lock().waiting.is_empty());
        drop(permit);
        assert!(matches!(enter(&queue, 1, none), Ok(Turn::Own(_))));
    }

    #[test]
    fn one_who_is_taken_along_by_a_caller_that_panics_waits_no_more() {
        let queue = Queue::new(1);
        let Ok(Turn::Own(permit)) = enter(&queue, 0, Patience::default()) else { panic!("it is idle") };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| matches!(enter(&queue, 1, Patience::default()), Ok(Turn::Served(_))));
            wait_until(&queue, 1);
            let panicked = crate::panics::caught(|| {
                let _others = permit.take_along(|all: &[Arc<Number>]| (0..all.len()).collect());
                panic!("on purpose")
            });
            assert!(matches!(panicked, Err::<(), _>(Error::Internal(_))));
            assert!(other.join().expect("no panic"));
        });
        drop(permit);
        assert!(matches!(enter(&queue, 2, Patience::default()), Ok(Turn::Own(_))));
    }
}
