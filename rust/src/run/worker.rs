//! The thread of a device. It stays, since ONNX Runtime keeps what it captured, and a device's libraries their state, by thread.

use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::panics::caught;
use crate::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

/// How long the thread looks for the next job before it sleeps: waking it takes a tenth of a query's time.
const IDLE: Duration = Duration::from_micros(200);
/// How long who waits for a job looks before sleeping: longer than a query takes.
const WAITING: Duration = Duration::from_millis(1);

/// Does work for others, one after the other. It starts when there is some and ends when this is dropped.
pub(super) struct Worker {
    device: String,
    process: u32,
    thread: Mutex<Option<(Sender<Job>, JoinHandle<()>)>>,
}

impl Worker {
    pub(super) fn new(device: String) -> Self {
        Self { device, process: std::process::id(), thread: Mutex::default() }
    }

    /// Does `work` on the thread of the device, and waits for it.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Device`] where the system starts no thread, or the thread is gone.
    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        let (answer, answered) = sync_channel(1);
        let job: Box<dyn FnOnce() + Send + '_> = Box::new(move || {
            let _ = answer.send(caught(work));
        });
        self.send(forever(job))?;
        soon(&answered, WAITING).unwrap_or_else(|_| Err(self.gone()))
    }

    fn send(&self, job: Job) -> Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((jobs, _)) = &*thread {
            return jobs.send(job).map_err(|_| self.gone());
        }
        let (jobs, waiting) = channel::<Job>();
        let work = move || {
            while let Ok(job) = soon(&waiting, IDLE) {
                job();
            }
        };
        let started = Builder::new().name(format!("bge-fast-{}", self.device)).spawn(work);
        let handle = started.map_err(|error| {
            Error::Device(format!(
                "the system starts no thread for {}: {error}. Raise its limit of processes",
                self.device
            ))
        })?;
        let sent = jobs.send(job).map_err(|_| self.gone());
        *thread = Some((jobs, handle));
        sent
    }

    fn gone(&self) -> Error {
        Error::Device(format!("the thread of {} ended. Open the model again", self.device))
    }
}

/// Receives what comes, without sleeping for so long.
fn soon<T>(receiver: &Receiver<T>, awake: Duration) -> std::result::Result<T, RecvError> {
    let began = Instant::now();
    while began.elapsed() < awake {
        match receiver.try_recv() {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvError),
            Err(TryRecvError::Empty) => std::hint::spin_loop(),
        }
    }
    receiver.recv()
}

/// Forgets what a job borrows.
#[expect(
    unsafe_code,
    reason = "who sends a job waits until it was done or dropped, and borrows nothing of it after that"
)]
fn forever(job: Box<dyn FnOnce() + Send + '_>) -> Job {
    unsafe { std::mem::transmute(job) }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some((jobs, handle)) = thread else { return };
        if std::process::id() == self.process {
            drop(jobs);
            // It never panics.
            let _ = handle.join();
        } else {
            // In a forked child there is no such thread.
            std::mem::forget((jobs, handle));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn work_is_done_on_one_thread_that_stays_and_may_borrow() {
        let worker = Worker::new("cuda:0".into());
        let (count, here) = (AtomicUsize::new(0), std::thread::current().id());
        let threads: Vec<_> = std::thread::scope(|scope| {
            let ask = || {
                worker.run(|| {
                    count.fetch_add(1, Ordering::Relaxed);
                    Ok(std::thread::current().id())
                })
            };
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|one| one.join().expect("no panic").expect("is done")).collect()
        });
        assert!(threads.iter().all(|&thread| thread == threads[0] && thread != here));
        assert_eq!(count.into_inner(), 8);
    }

    #[test]
    fn errors_and_panics_come_back_and_the_thread_goes_on() {
        let worker = Worker::new("cuda:0".into());
        assert!(matches!(worker.run(|| Err::<(), _>(Error::Stopped)), Err(Error::Stopped)));
        assert!(matches!(worker.run(|| -> Result<()> { panic!("on purpose") }), Err(Error::Internal(_))));
        assert_eq!(worker.run(|| Ok(3)).expect("goes on"), 3);
    }

    #[test]
    fn the_thread_ends_with_its_owner() {
        let worker = Worker::new("cuda:0".into());
        let ended = std::sync::Arc::new(());
        let held = std::sync::Arc::clone(&ended);
        let answer = worker.run(move || Ok(std::sync::Arc::strong_count(&held)));
        assert_eq!(answer.expect("is done"), 2);
        drop(worker);
        assert_eq!(std::sync::Arc::strong_count(&ended), 1);
    }
}
