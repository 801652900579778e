//! A file that stays open as long as what was read from it is in use.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;
use crate::{Error, Result};

/// A file as it was when it was opened.
#[derive(Debug)]
pub(crate) struct OpenedFile {
    /// What messages call it. In a hub's cache the real file is named by its hash.
    name: String,
    path: PathBuf,
    file: File,
    stamp: Stamp,
}

impl OpenedFile {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] where it is missing; [`Error::ModelFormat`] where it is no regular file or empty.
    pub(crate) fn open(name: &str, path: &Path) -> Result<Self> {
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
        Ok(Self { name: name.to_owned(), path: path.to_owned(), stamp: Stamp::of(&metadata), file })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Whether the path still leads to this file, unchanged. Who replaces a file by renaming another disturbs nobody who has it
    /// open.
    pub(crate) fn in_place(&self) -> bool {
        Stamp::at(&self.path) == Some(self.stamp)
    }

    /// Sees that nobody wrote to the file itself. Two microseconds.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] that names the file.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        if self.file.metadata().is_ok_and(|now| Stamp::of(&now) == self.stamp) {
            return Ok(());
        }
        Err(Error::ModelFormat(format!(
            "{} was written to after this model was opened from it, so its vectors would be of neither the old model nor the new \
             one. Open the model again. (Who replaces a file by renaming a new one to its name disturbs nobody: {})",
            self.name,
            self.path.display()
        )))
    }
}

fn check_regular(name: &str, path: &Path, metadata: &Metadata) -> Result<()> {
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
