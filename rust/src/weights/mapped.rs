//! A weight file in memory.
//!
//! What its reader cannot exclude is that another process cuts it short; hub caches never change a file in place.

use std::path::PathBuf;

use memmap2::{Mmap, UncheckedAdvice};

use super::opened::OpenedFile;
use crate::{Error, Result};

/// A weight file to open.
#[derive(Debug, Clone)]
pub struct WeightFile {
    /// What messages call it. In a hub's cache the real file is named by its hash.
    pub name: String,
    /// Its real path.
    pub path: PathBuf,
    /// Put before the names of its tensors; of a head's own file, which calls them `weight` and `bias`.
    pub prefix: &'static str,
}

/// A weight file as it was when it was opened.
#[derive(Debug)]
pub(super) struct MappedFile {
    pub(super) file: OpenedFile,
    map: Mmap,
}

impl MappedFile {
    /// Maps a regular file.
    ///
    /// # Errors
    /// Those of [`OpenedFile::open`].
    pub(super) fn open(weight_file: &WeightFile) -> Result<Self> {
        let file = OpenedFile::open(&weight_file.name, &weight_file.path)?;
        #[expect(
            unsafe_code,
            reason = "a mapped file may be changed by others; its numbers are only ever read as numbers"
        )]
        let map = unsafe { Mmap::map(file.file()) };
        let failed = |error| Error::ModelFormat(format!("{} cannot be read: {error}", file.path().display()));
        Ok(Self { map: map.map_err(failed)?, file })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets go of the pages that were read so far.
    #[expect(unsafe_code, reason = "nobody writes to the map, so that nothing is lost with its pages")]
    pub(super) fn release(&self) {
        // Only advice: where it is not taken the pages stay.
        let _ = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
    }
}
