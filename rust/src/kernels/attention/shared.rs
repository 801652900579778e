//! Memory that threads write to in places of their own.
#![expect(unsafe_code, reason = "threads write to different columns of one row, which no split of a slice can say")]

use std::marker::PhantomData;
use std::ops::Range;

use crate::kernels::vectors::{Simd, Vector};

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

/// What some queries of one head are answered, before it is divided by the sum of their weights.
pub(super) struct Answers<'a> {
    /// `[queries, width]`.
    pub(super) sums: &'a [f32],
    pub(super) width: usize,
    /// One for each query.
    pub(super) totals: &'a [f32],
    /// Numbers of an answer.
    pub(super) size: usize,
}

impl Answers<'_> {
    /// Writes the first answer to `first`, the others `stride` numbers behind each other.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&self, simd: S, first: usize, stride: usize, out: &Shared) {
        for (row, (sums, total)) in self.sums.chunks_exact(self.width).zip(self.totals).enumerate() {
            let to = first + row * stride;
            // SAFETY: the queries of a head belong to one part, and a part to one thread.
            let out = unsafe { out.part(to..to + self.size) };
            for (out, sums) in out.chunks_mut(S::Vector::LANES).zip(sums.chunks_exact(S::Vector::LANES)) {
                (simd.load(sums) / simd.splat(*total)).store_part(out);
            }
        }
    }
}
