//! How long a caller waits, and what it is told meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How often a waiting caller's watcher is asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// What callers put up with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// How long a call may take; without an answer by then it is given up.
    pub timeout: Option<Duration>,
    /// Most calls that wait for a run; one more is refused.
    pub max_queue: Option<usize>,
    /// Batches hold the texts of one call only.
    pub alone: bool,
}

/// Tells the caller how far the call is, now and then, and asks whether to go on.
pub(crate) struct Watcher<'a> {
    tell: &'a mut dyn FnMut(usize) -> bool,
    done: usize,
    told: Instant,
    patience: Patience,
    began: Instant,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(tell: &'a mut dyn FnMut(usize) -> bool, patience: Patience) -> Self {
        let now = Instant::now();
        Self { tell, done: 0, told: now, patience, began: now }
    }

    /// So many items more are done.
    pub(crate) fn saw(&mut self, items: usize) -> Result<()> {
        self.done += items;
        self.look()
    }

    pub(crate) fn look(&mut self) -> Result<()> {
        if let Some(timeout) = self.patience.timeout
            && self.began.elapsed() >= timeout
        {
            let seconds = timeout.as_secs_f64();
            return Err(Error::Timeout(format!("there was no answer within timeout={seconds} seconds")));
        }
        if self.told.elapsed() < INTERVAL {
            return Ok(());
        }
        self.told = Instant::now();
        if (self.tell)(self.done) { Ok(()) } else { Err(Error::Stopped) }
    }

    /// How long to wait before the next look.
    pub(super) fn interval(&self) -> Duration {
        let left = self.patience.timeout.map(|timeout| timeout.saturating_sub(self.began.elapsed()));
        left.map_or(INTERVAL, |left| left.clamp(Duration::from_millis(1), INTERVAL))
    }

    /// Whether a call that has not run yet may wait behind so many.
    pub(super) fn may_wait_behind(&mut self, waiting: usize) -> Result<()> {
        match self.patience.max_queue.take() {
            Some(most) if waiting >= most => Err(Error::QueueFull(format!(
                "{waiting} calls wait for this model already, and max_queue={most}. Try again later"
            ))),
            _ => Ok(()),
        }
    }
}

/// A watcher of work that others may stop.
pub(super) fn until(stop: &AtomicBool) -> impl FnMut(usize) -> bool + '_ {
    |_| !stop.load(Ordering::Relaxed)
}
