//! A weight file in memory.
//!
//! What its reader cannot exclude is that another process cuts it short; hub caches never change a file in place.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, UncheckedAdvice};

use super::stamp::Stamp;
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
    pub(super) file: WeightFile,
    map: Mmap,
    stamp: Stamp,
}

impl MappedFile {
    /// Maps a regular file.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] where it is missing; [`Error::ModelFormat`] where it is no regular file or empty.
    pub(super) fn open(weight_file: &WeightFile) -> Result<Self> {
        let WeightFile { name, path, .. } = weight_file;
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory if path.is_symlink() => {
                Error::ModelNotFound(format!("{} is a link to nothing", path.display()))
            }
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                Error::ModelNotFound(format!("there is no file {}", path.display()))
            }
            _ => Error::ModelFormat(format!("{} cannot be read: {error}", path.display())),
        };
        // Its kind is told before it is opened, which would wait at a FIFO, and once more after.
        check_regular(name, path, &path.metadata().map_err(failed)?)?;
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        check_regular(name, path, &metadata)?;
        if metadata.len() == 0 {
            return Err(Error::ModelFormat(format!("{name} is empty. Download it or save it again")));
        }
        #[expect(
            unsafe_code,
            reason = "a mapped file may be changed by others; its numbers are only ever read as numbers"
        )]
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        Ok(Self { file: weight_file.clone(), map, stamp: Stamp::of(&metadata) })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Whether its path still leads to the file that was mapped, unchanged.
    pub(super) fn unchanged(&self) -> bool {
        Stamp::at(&self.file.path) == Some(self.stamp)
    }

    /// Lets go of the pages that were read so far.
    #[expect(unsafe_code, reason = "nobody writes to the map, so that nothing is lost with its pages")]
    pub(super) fn release(&self) {
        // Only advice: where it is not taken the pages stay.
        let _ = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
    }
}

fn check_regular(name: &str, path: &Path, metadata: &Metadata) -> Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let kinds = [
        (kind.is_dir(), "a directory"),
        (kind.is_fifo(), "a FIFO"),
        (kind.is_socket(), "a socket"),
        (kind.is_block_device() || kind.is_char_device(), "a device"),
    ];
    let kind = kinds.iter().find(|(is, _)| *is).map_or("something else", |(_, kind)| kind);
    let path = path.display();
    Err(Error::ModelFormat(format!("{name} is {kind}, and weights must be in a regular file: {path}")))
}
