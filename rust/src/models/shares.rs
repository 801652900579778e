//! Where the time of calls goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seconds of all threads together since the model was opened.
#[derive(Debug, Default)]
pub(super) struct Shares {
    pub tokenizing: Share,
    pub waiting: Share,
    pub running: Share,
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Share {
    nanoseconds: AtomicU64,
    times: AtomicU64,
}

impl Share {
    /// Does `work` and adds the time that it takes.
    pub(super) fn of<R>(&self, work: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = work();
        let nanoseconds = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.times.fetch_add(1, Ordering::Relaxed);
        result
    }

    pub(super) fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64()
    }

    /// How often there was such work.
    pub(super) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }
}
