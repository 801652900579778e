//! Runs that take seconds, and end soon after nobody wants them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::Builder;

use super::watcher::Watcher;
use crate::ort::until_stopped;
use crate::panics::caught;
use crate::{Error, Result};

/// Does `work`, a run, in a thread of its own, while the caller's tells the watcher and hears from it.
pub(crate) fn interruptible<R: Send>(watcher: &mut Watcher, work: &(dyn Fn() -> Result<R> + Sync)) -> Result<R> {
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, done) = sync_channel(1);
    std::thread::scope(|scope| {
        let run = || sender.send(until_stopped(&stop, || caught(work)));
        // Where the system starts no more threads, the run cannot be stopped.
        if Builder::new().name("bge-fast-run".into()).spawn_scoped(scope, run).is_err() {
            return work();
        }
        loop {
            match done.recv_timeout(watcher.interval()) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Internal("a run ended without a result".into()));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = watcher.look() {
                        stop.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::watcher::Patience;
    use super::*;

    #[test]
    fn work_goes_on_until_the_watcher_has_enough() {
        let mut goes_on = |_| true;
        let mut watcher = Watcher::new(&mut goes_on, Patience::default());
        assert_eq!(interruptible(&mut watcher, &|| Ok(7)).expect("nobody stops it"), 7);

        let mut stops = |_| false;
        let mut watcher = Watcher::new(&mut stops, Patience::default());
        let began = Instant::now();
        let slow = || {
            std::thread::sleep(Duration::from_millis(300));
            Ok(())
        };
        assert!(matches!(interruptible(&mut watcher, &slow), Err(Error::Stopped)));
        assert!(began.elapsed() >= Duration::from_millis(300), "nobody is left behind");
    }
}
