//! Somebody's `.onnx` file, with the files that its weights lie in.

use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::graph::external_files;
use crate::weights::OpenedFile;
use crate::{Error, Result};

/// A graph's files, kept open so that a change is seen.
pub struct GraphFile {
    path: PathBuf,
    files: Vec<OpenedFile>,
}

impl GraphFile {
    /// Finds out where the graph's weights lie.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] where a file is missing; [`Error::ModelFormat`] where one is no regular file or the graph no ONNX.
    pub fn open(path: PathBuf) -> Result<Self> {
        let graph = OpenedFile::open(&name_of(&path), &path)?;
        let locations = locations(&graph)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let data = locations.iter().map(|location| OpenedFile::open(location, &folder.join(location)));
        let data = data.collect::<Result<Vec<_>>>()?;
        Ok(Self { files: std::iter::once(graph).chain(data).collect(), path })
    }

    /// The graph's own file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn in_place(&self) -> bool {
        self.files.iter().all(OpenedFile::in_place)
    }

    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(OpenedFile::check_unchanged)
    }
}

#[expect(unsafe_code, reason = "the map is only read as bytes, here")]
fn locations(graph: &OpenedFile) -> Result<Vec<String>> {
    let bytes = unsafe { Mmap::map(graph.file()) };
    let bytes = bytes.map_err(|error| Error::ModelFormat(format!("{} cannot be read: {error}", graph.name())))?;
    external_files(&bytes).map_err(|why| Error::ModelFormat(format!("{} is no ONNX graph: {why}", graph.name())))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}
