//! How far a call is, and signals that end it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pyo3::prelude::*;

use super::detached;
use crate::Result;

/// How many texts of a running call are done. Any thread may look, and stop the call.
#[pyclass(frozen, module = "bge_fast._core")]
#[derive(Default)]
pub(super) struct Progress {
    done: AtomicUsize,
    stopped: AtomicBool,
}

#[pymethods]
impl Progress {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    #[getter]
    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends the call after the batch that is running.
    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` without the GIL; now and then it tells how far it is and lets Python look at its signals.
pub(super) fn watched<R: Send>(
    py: Python<'_>,
    progress: &Progress,
    total: usize,
    work: impl FnOnce(&mut (dyn FnMut(usize) -> bool + Send)) -> Result<R> + Send,
) -> PyResult<R> {
    let mut signal = None;
    let mut watch = |done: usize| {
        progress.done.store(done, Ordering::Relaxed);
        if progress.stopped.load(Ordering::Relaxed) {
            return false;
        }
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone does not infer its lifetime")]
        let pending = Python::try_attach(|py| py.check_signals());
        // None: the interpreter is ending, and nobody waits for the result.
        let goes_on = matches!(pending, Some(Ok(())));
        signal = pending.and_then(PyResult::err);
        goes_on
    };
    let result = detached(py, || work(&mut watch));
    if let Some(signal) = signal {
        return Err(signal);
    }
    progress.done.store(total, Ordering::Relaxed);
    result
}
