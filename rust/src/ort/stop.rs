//! How a run is stopped in its midst: operators of our own leave out what is left of their work.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    // ONNX Runtime calls the operators of a run in the thread that asked for it.
    static STOP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Does `work`. Runs in it that go on once `stop` is set give numbers that mean nothing.
pub fn until_stopped<R>(stop: &Arc<AtomicBool>, work: impl FnOnce() -> R) -> R {
    STOP.set(Some(Arc::clone(stop)));
    let result = work();
    STOP.set(None);
    result
}

/// What says that the run of this thread is to stop.
pub(super) fn stop() -> impl Fn() -> bool + Sync {
    let stop = STOP.with_borrow(Clone::clone);
    move || stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
}
