//! Whether a file is still the one that was opened.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a file is known by, as long as nobody replaces it: device, inode, size, and time of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u64, u64, u64, i64);

impl Stamp {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self(file.dev(), file.ino(), file.size(), file.mtime_nsec() + file.mtime() * 1_000_000_000)
    }

    /// Of the file that has this path now, if there is one.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::of)
    }
}
