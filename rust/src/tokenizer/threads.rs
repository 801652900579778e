//! Many texts at once.

use std::thread::Builder;

use crate::Result;
use crate::panics::caught;

/// Fewer texts are tokenized sooner than a thread is started.
const MIN_TEXTS_PER_THREAD: usize = 16;

/// What `encode` makes of each text, on up to `threads` threads that end with the call.
pub(super) fn on_threads<T: AsRef<str> + Sync, R: Send>(
    texts: &[T],
    threads: usize,
    encode: impl Fn(&str) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let serial = |texts: &[T]| -> Result<Vec<R>> { texts.iter().map(|text| encode(text.as_ref())).collect() };
    let workers = threads.min(texts.len() / MIN_TEXTS_PER_THREAD);
    if workers < 2 {
        return serial(texts);
    }
    let parts = texts.chunks(texts.len().div_ceil(workers));
    std::thread::scope(|scope| {
        let start = |part| {
            let thread = Builder::new().name("bge-fast-tokens".into());
            (part, thread.spawn_scoped(scope, move || caught(|| serial(part))).ok())
        };
        let started: Vec<_> = parts.map(start).collect();
        let mut all = Vec::with_capacity(texts.len());
        for (part, thread) in started {
            // Where the system starts no more threads, the caller's own does the work.
            let done = thread.map_or_else(|| serial(part), |thread| thread.join().unwrap_or_else(|_| serial(part)));
            all.extend(done?);
        }
        Ok(all)
    })
}
