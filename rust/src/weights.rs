//! The tensors of a checkpoint, mapped where they lie and never copied.
//!
//! A file is trusted in nothing: header, directory and pickle are read with bounds, and each tensor lies inside its file.
//! What a reader cannot exclude is that another process cuts a mapped file short; hub caches never change a file in place.

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests;

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, UncheckedAdvice};

use crate::error::{Error, Result};
use crate::stamp::Stamp;
pub use crate::stored::Dtype;
use crate::stored::{MAX_RANK, MAX_TENSORS, Stored, shown};
use crate::{safetensors_file, torch_file};

/// What the names of an encoder's tensors start with: saved alone, or inside a model with a head.
const PREFIXES: [&str; 3] = ["", "bert.", "roberta."];

/// Where one tensor lies.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Place of the file in [`Weights::files`].
    pub file: usize,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its dimensions; elements lie row by row.
    pub shape: Vec<usize>,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// A tensor that is there, of use or not.
#[derive(Debug)]
enum Entry {
    Usable(Tensor),
    Useless { file: usize, shape: Vec<usize>, why: String },
}

impl Entry {
    fn file(&self) -> usize {
        match self {
            Self::Usable(tensor) => tensor.file,
            Self::Useless { file, .. } => *file,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Usable(Tensor { shape, .. }) | Self::Useless { shape, .. } => shape,
        }
    }
}

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
struct Mapped {
    file: WeightFile,
    map: Mmap,
    stamp: Stamp,
}

/// The tensors of one file or of all shards of a checkpoint.
#[derive(Debug)]
pub struct Weights {
    files: Vec<Mapped>,
    tensors: BTreeMap<String, Entry>,
}

impl Weights {
    /// Opens one file or all shards, each safetensors or torch's zip, which is told by what is in it.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] where a file is missing; [`Error::ModelFormat`] where one is no regular file, no sound weight
    /// file, or has a tensor that another has too.
    pub fn open(files: &[WeightFile]) -> Result<Self> {
        let mut weights = Self { files: Vec::with_capacity(files.len()), tensors: BTreeMap::new() };
        for file in files {
            let mapped = map(file)?;
            let stored = read(&file.name, &mapped.map)?;
            weights.files.push(mapped);
            for tensor in stored {
                weights.add(Stored { name: format!("{}{}", file.prefix, tensor.name), ..tensor })?;
            }
        }
        Ok(weights)
    }

    /// The files, in the order in which they were given.
    #[must_use]
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|mapped| mapped.file.path.as_path())
    }

    /// Whether there is a tensor called `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of the tensor called `name`, whatever its type.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(Entry::shape)
    }

    /// The tensor called `name`, as stored.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] where it is missing, of another shape, not of a type of [`Dtype`], or does not lie row by row.
    pub fn find(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let Some(entry) = self.tensors.get(name) else {
            let message = format!("{} without the tensor {}", self.all_files(), shown(name));
            return Err(Error::ModelFormat(format!("{message}; {}", self.some_names())));
        };
        let wrong =
            |what: &str| Error::ModelFormat(format!("{}: the tensor {} {what}", self.name(entry.file()), shown(name)));
        match entry {
            entry if entry.shape() != shape => {
                Err(wrong(&format!("has the shape {:?} where {shape:?} is expected by config.json", entry.shape())))
            }
            Entry::Usable(tensor) => Ok(tensor),
            Entry::Useless { why, .. } => Err(wrong(why)),
        }
    }

    /// What the names of the encoder's tensors start with: `""`, `"bert."` or `"roberta."`.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] where no tensor is an encoder's word embeddings.
    pub fn encoder_prefix(&self) -> Result<&'static str> {
        const FIRST: &str = "embeddings.word_embeddings.weight";
        let found = PREFIXES.into_iter().find(|prefix| self.contains(&format!("{prefix}{FIRST}")));
        found.ok_or_else(|| {
            let message = format!("{} without a BERT or XLM-RoBERTa encoder: no {FIRST}", self.all_files());
            Error::ModelFormat(format!(
                "{message}, alone or after {}; {}",
                PREFIXES[1..].join(" or "),
                self.some_names()
            ))
        })
    }

    /// The bytes of one of these weights' tensors, in the mapped file; as [`Tensor::offset`], not aligned to anything.
    #[must_use]
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        let bytes = || {
            let (start, length) = (usize::try_from(tensor.offset).ok()?, usize::try_from(tensor.length).ok()?);
            self.files.get(tensor.file)?.map.get(start..start.checked_add(length)?)
        };
        bytes().unwrap_or_default()
    }

    /// Whether every path still leads to the file that was mapped, unchanged.
    #[must_use]
    pub fn unchanged(&self) -> bool {
        self.files.iter().all(|mapped| Stamp::at(&mapped.file.path) == Some(mapped.stamp))
    }

    /// Lets go of the pages that were read so far. They come back from the file where they are read again.
    #[expect(unsafe_code, reason = "nobody writes to the maps, so that nothing is lost with their pages")]
    pub fn release(&self) {
        for mapped in &self.files {
            // Only advice: where it is not taken the pages stay.
            let _ = unsafe { mapped.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }

    /// Takes in a tensor of the last file.
    fn add(&mut self, stored: Stored) -> Result<()> {
        let Stored { name, dtype, shape, offset, length } = stored;
        let file = self.files.len() - 1;
        let refused = |why: &str| Error::ModelFormat(format!("{} refused: {why}", self.name(file)));
        if shape.len() > MAX_RANK {
            return Err(refused(&format!("its tensor {} has {} dimensions", shown(&name), shape.len())));
        }
        if self.tensors.len() >= MAX_TENSORS {
            return Err(refused(&format!("with it there are more than {MAX_TENSORS} tensors")));
        }
        if let Some(other) = self.tensors.get(&name) {
            let places = [self.name(other.file()), self.name(file)].join(" and in ");
            return Err(Error::ModelFormat(format!("the tensor {} is in {places}; one must go", shown(&name))));
        }
        let entry = match dtype {
            Ok(dtype) => Entry::Usable(Tensor { file, dtype, shape, offset, length }),
            Err(why) => Entry::Useless { file, shape, why },
        };
        self.tensors.insert(name, entry);
        Ok(())
    }

    fn name(&self, file: usize) -> &str {
        self.files.get(file).map(|mapped| mapped.file.name.as_str()).unwrap_or_default()
    }

    fn all_files(&self) -> String {
        let names: Vec<_> = (0..self.files.len().min(3)).map(|file| self.name(file)).collect();
        let more = if self.files.len() > names.len() {
            ", … are"
        } else if names.len() > 1 {
            " are"
        } else {
            " is"
        };
        names.join(", ") + more
    }

    /// A few names of tensors, for who asked for one that is not there.
    fn some_names(&self) -> String {
        let names: Vec<_> = self.tensors.keys().take(4).map(|name| shown(name)).collect();
        if names.is_empty() {
            "there are no tensors at all".into()
        } else {
            format!("there are {} tensors: {}, …", self.tensors.len(), names.join(", "))
        }
    }
}

/// Maps a regular file. Its kind is told before it is opened, which would wait at a FIFO, and once more after.
fn map(weight_file: &WeightFile) -> Result<Mapped> {
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
    check_regular(name, path, &path.metadata().map_err(failed)?)?;
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    check_regular(name, path, &metadata)?;
    if metadata.len() == 0 {
        return Err(Error::ModelFormat(format!("{name} is empty. Download it or save it again")));
    }
    #[expect(unsafe_code, reason = "a mapped file may be changed by others; its numbers are only ever read as numbers")]
    let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
    Ok(Mapped { file: weight_file.clone(), map, stamp: Stamp::of(&metadata) })
}

fn check_regular(name: &str, path: &Path, metadata: &Metadata) -> Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    let kind = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_block_device() || kind.is_char_device() => "a device",
        () => "something else",
    };
    let path = path.display();
    Err(Error::ModelFormat(format!("{name} is {kind}, and weights must be in a regular file: {path}")))
}

/// The tensors of the file `name`, of the kind that its bytes tell.
fn read(name: &str, bytes: &[u8]) -> Result<Vec<Stored>> {
    if safetensors_file::is_safetensors(bytes) {
        return safetensors_file::tensors(name, bytes);
    }
    if torch_file::is_zip(bytes) {
        return torch_file::tensors(name, bytes);
    }
    let what = if bytes.starts_with(b"version https://git-lfs") {
        "is a git-lfs pointer and not the weights themselves. Run `git lfs pull` in its folder"
    } else if bytes.trim_ascii_start().starts_with(b"<") {
        "is a web page and not weights. Download it again"
    } else if torch_file::is_legacy(bytes) {
        "was saved by torch before 1.6, which wrote no zip. Save it again with a newer torch: \
         torch.save(torch.load(path, weights_only=True), path), or save_pretrained for safetensors"
    } else {
        "is neither a safetensors file nor torch's zip, or was cut off. Download it or save it again"
    };
    Err(Error::ModelFormat(format!("{name} {what}")))
}
