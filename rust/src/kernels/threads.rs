//! Who does the parts of a kernel's work.

/// Threads that share the parts of some work.
pub trait Threads {
    /// Does `part` for 0 .. `parts`, in any order and by any thread; returns when all are done.
    fn share(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}

/// The thread that asks.
pub struct Alone;

impl Threads for Alone {
    fn share(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(part);
    }
}
