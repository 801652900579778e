//! Memory that threads write to in places of their own.
#![expect(unsafe_code, reason = "threads write to different columns of one row, which no split of a slice can say")]

use std::marker::PhantomData;
use std::ops::Range;

/// Numbers that threads write to at once, each its own.
pub(super) struct Shared<'a> {
    first: *mut f32,
    len: usize,
    numbers: PhantomData<&'a mut [f32]>,
}

// SAFETY: it only hands out numbers by `part`, whose callers never ask for the same ones at once.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(numbers: &'a mut [f32]) -> Self {
        Self { first: numbers.as_mut_ptr(), len: numbers.len(), numbers: PhantomData }
    }

    /// The numbers in `range`.
    ///
    /// # Safety
    /// Nobody else has any of them at the same time.
    #[expect(clippy::mut_from_ref, reason = "that is what it is for")]
    pub(super) unsafe fn part(&self, range: Range<usize>) -> &mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len, "a part of the numbers");
        // SAFETY: in bounds by the line above, and the caller's alone.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(range.start), range.len()) }
    }
}
