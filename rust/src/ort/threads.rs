//! Threads that ONNX Runtime is going to start. Where the system refuses it one in the middle, it waits for ever for those that
//! it has: so they are tried out before.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::Builder;

use memmap2::MmapOptions;

/// What glibc gives a thread unless it is told otherwise; ONNX Runtime does not tell.
const STACK: usize = 8 << 20;
/// What a thread needs beside its stack, and what is left to the process.
const MARGIN: usize = 4 << 20;

/// How many threads can be started, up to `wanted` of them.
#[must_use]
pub fn startable(wanted: usize) -> usize {
    // In address space that is nearly used up a thread may start and end the process with its first variable.
    let room = |threads: usize| {
        MmapOptions::new().no_reserve_swap().len(threads * (STACK + MARGIN) + MARGIN).map_anon().is_ok()
    };
    let wanted = (0..=wanted).rev().find(|&threads| threads == 0 || room(threads)).unwrap_or(0);
    let (leave, left) = (Mutex::new(false), Condvar::new());
    let wait = || {
        // A thread's first allocation takes address space of its own.
        drop(std::hint::black_box(vec![0_u8; 64]));
        let stay = leave.lock().unwrap_or_else(PoisonError::into_inner);
        drop(left.wait_while(stay, |leave| !*leave));
    };
    std::thread::scope(|scope| {
        let start = |_: &usize| Builder::new().stack_size(STACK).spawn_scoped(scope, wait).is_ok();
        let started = (0..wanted).take_while(start).count();
        *leave.lock().unwrap_or_else(PoisonError::into_inner) = true;
        left.notify_all();
        started
    })
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
