//! Memory from the beginning of a line of the processor's cache on: vectors and tiles that lie across two lines take twice as long.

use std::ops::{Deref, DerefMut};

const LINE_BYTES: usize = 64;

/// Numbers in such memory, which is kept where fewer are needed.
#[derive(Default)]
pub(super) struct Aligned<T> {
    room: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Makes it so many numbers, whatever they are.
    pub(super) fn fit(&mut self, len: usize) {
        let line = LINE_BYTES / size_of::<T>();
        if self.room.len() < len + line {
            self.room.resize(len + line, T::default());
        }
        self.first = self.room.as_ptr().align_offset(LINE_BYTES).min(line);
        self.len = len;
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.room[self.first..][..self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.room[self.first..][..self.len]
    }
}
