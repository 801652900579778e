//! Threads that ONNX Runtime is going to start. Where the system refuses it one in the middle, it waits for ever for those that
//! it has: so they are tried out before.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;

use memmap2::MmapOptions;

/// What glibc gives a thread unless it is told otherwise; ONNX Runtime does not tell.
const STACK: usize = 8 << 20;
/// What a thread needs beside its stack.
const MARGIN: usize = 1 << 20;
/// What is left to the process for all else.
const SPARE: usize = 64 << 20;

/// Of threads that are tried out: how many run, and whether they may end.
#[derive(Default)]
struct State {
    running: usize,
    leave: bool,
}

/// How many threads can be started, up to `wanted` of them. Where they would take all address space that there is, half of them.
#[must_use]
pub fn startable(wanted: usize) -> usize {
    // A thread that starts in address space that is nearly used up may end the process with its first variable.
    let wanted =
        (0..=wanted).rev().find(|&threads| threads == 0 || room(threads * (STACK + MARGIN) + SPARE)).unwrap_or(0);
    let (state, changed) = (Mutex::new(State::default()), Condvar::new());
    let wait = || {
        // A thread's first allocation takes address space of its own.
        drop(std::hint::black_box(vec![0_u8; 64]));
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running += 1;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state.leave));
    };
    std::thread::scope(|scope| {
        let start = |_: &usize| Builder::new().stack_size(STACK).spawn_scoped(scope, wait).is_ok();
        let started = (0..wanted).take_while(start).count();
        // Room is looked at when all of them have taken theirs: on a busy machine they begin late.
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let all = changed.wait_while(state, |state| state.running < started);
        let mut state = all.unwrap_or_else(PoisonError::into_inner);
        let usable = if started == 0 || room(started * MARGIN + SPARE) { started } else { started / 2 };
        state.leave = true;
        changed.notify_all();
        usable
    })
}

/// Whether the process may take so much address space more. Nothing of it is used.
fn room(bytes: usize) -> bool {
    MmapOptions::new().no_reserve_swap().len(bytes).map_anon().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_threads_can_be_had() {
        assert_eq!(startable(0), 0);
        assert_eq!(startable(5), 5);
    }
}
