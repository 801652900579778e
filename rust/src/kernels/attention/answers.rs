//! What queries are answered, on its way out.
#![expect(unsafe_code, reason = "the queries of a head belong to one part, and a part to one thread")]

use crate::kernels::shared::Shared;
use crate::kernels::vectors::{Simd, Vector};

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
    /// Writes each answer to where `place` says that it begins.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&self, simd: S, place: impl Fn(usize) -> usize, out: &Shared) {
        for (row, (sums, total)) in self.sums.chunks_exact(self.width).zip(self.totals).enumerate() {
            let to = place(row);
            // SAFETY: the queries of a head belong to one part, and a part to one thread.
            let out = unsafe { out.part(to..to + self.size) };
            for (out, sums) in out.chunks_mut(S::Vector::LANES).zip(sums.chunks_exact(S::Vector::LANES)) {
                (simd.load(sums) / simd.splat(*total)).store_part(out);
            }
        }
    }
}
