//! The tensors of a checkpoint, mapped where they lie and never copied.
//!
//! A file is trusted in nothing: header, directory and pickle are read with bounds, and each tensor lies inside its file.

#[cfg(feature = "python")]
mod directory;
mod mapped;
mod opened;
mod pickle;
mod safetensors;
mod stamp;
mod stored;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests;
mod torch;

use std::collections::BTreeMap;
use std::path::Path;

#[cfg(feature = "python")]
pub(crate) use self::directory::directories;
use self::mapped::MappedFile;
pub use self::mapped::WeightFile;
pub(crate) use self::opened::OpenedFile;
pub use self::stored::Dtype;
use self::stored::{MAX_RANK, MAX_TENSORS, Stored, shown};
use crate::error::{Error, Result};

/// Where one tensor lies.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Place of the file in [`Weights::files`].
    pub file: usize,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Elements from one to the next along each dimension, where they do not lie row by row.
    pub strides: Option<Vec<usize>>,
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

/// The tensors of one file or of all shards of a checkpoint.
#[derive(Debug)]
pub struct Weights {
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, Entry>,
}

impl Weights {
    /// Opens one file or all shards, each safetensors or torch's, which is told by what is in it.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] where a file is missing; [`Error::ModelFormat`] where one is no regular file, no sound weight
    /// file, or has a tensor that another has too.
    pub fn open(files: &[WeightFile]) -> Result<Self> {
        let mut weights = Self { files: Vec::with_capacity(files.len()), tensors: BTreeMap::new() };
        for file in files {
            let mapped = MappedFile::open(file)?;
            let stored = read(&file.name, mapped.bytes())?;
            weights.files.push(mapped);
            for tensor in stored {
                weights.add(Stored { name: format!("{}{}", file.prefix, todays_name(&tensor.name)), ..tensor })?;
            }
        }
        Ok(weights)
    }

    /// The files, in the order in which they were given.
    #[must_use]
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|mapped| mapped.file.path())
    }

    /// Takes in the tensors of another file, in place of those that have their names.
    ///
    /// # Errors
    /// Those of [`Self::open`]; [`Error::ModelFormat`] where one that is replaced has another shape.
    pub fn replace(&mut self, file: &WeightFile) -> Result<()> {
        let mapped = MappedFile::open(file)?;
        let stored = read(&file.name, mapped.bytes())?;
        self.files.push(mapped);
        for tensor in stored {
            if self.shape(&tensor.name).is_some_and(|shape| shape != tensor.shape) {
                let (name, shape) = (shown(&tensor.name), &tensor.shape);
                return Err(Error::ModelFormat(format!("{} changes the shape of {name} to {shape:?}", file.name)));
            }
            self.tensors.remove(&tensor.name);
            self.add(tensor)?;
        }
        Ok(())
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor called `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The first tensor, by name, whose name starts so.
    #[must_use]
    pub fn first_below(&self, start: &str) -> Option<&str> {
        let (name, _) = self.tensors.range(start.to_owned()..).next()?;
        name.starts_with(start).then_some(name)
    }

    /// The shape of the tensor called `name`, whatever its type.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(Entry::shape)
    }

    /// The tensor called `name`, as stored.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] where it is missing, of another shape, or not of a type of [`Dtype`].
    pub fn find(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(Error::ModelFormat(self.lacking(&format!("without the tensor {}", shown(name)))));
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

    /// A message about these files that are `without` something, with a few of the names that they have.
    #[must_use]
    pub fn lacking(&self, without: &str) -> String {
        format!("{} {without}; {}", self.all_files(), self.some_names())
    }

    /// The bytes of one of these weights' tensors, in the mapped file; as [`Tensor::offset`], not aligned to anything.
    #[must_use]
    pub fn bytes(&self, tensor: &Tensor) -> &[u8] {
        let bytes = || {
            let (start, length) = (usize::try_from(tensor.offset).ok()?, usize::try_from(tensor.length).ok()?);
            self.files.get(tensor.file)?.bytes().get(start..start.checked_add(length)?)
        };
        bytes().unwrap_or_default()
    }

    /// Whether every path still leads to the file that was mapped, unchanged.
    #[must_use]
    pub fn in_place(&self) -> bool {
        self.files.iter().all(|mapped| mapped.file.in_place())
    }

    /// Sees that nobody wrote to one of the files.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] that names the file.
    pub fn check_unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(|mapped| mapped.file.check_unchanged())
    }

    /// Lets go of the pages that were read so far. They come back from the file where they are read again.
    pub(crate) fn release(&self) {
        self.files.iter().for_each(MappedFile::release);
    }

    /// Takes in a tensor of the last file.
    fn add(&mut self, stored: Stored) -> Result<()> {
        let Stored { name, dtype, shape, strides, offset, length, .. } = stored;
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
            Ok(dtype) => Entry::Usable(Tensor { file, dtype, shape, strides, offset, length }),
            Err(why) => Entry::Useless { file, shape, why },
        };
        self.tensors.insert(name, entry);
        Ok(())
    }

    fn name(&self, file: usize) -> &str {
        self.files.get(file).map(|mapped| mapped.file.name()).unwrap_or_default()
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

/// Tensors of `LayerNorm` were called otherwise by BERT's first authors; transformers reads both names.
fn todays_name(name: &str) -> String {
    for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")] {
        if let Some(start) = name.strip_suffix(old) {
            return format!("{start}{new}");
        }
    }
    name.to_owned()
}

/// The tensors of the file `name`, of the kind that its bytes tell.
fn read(name: &str, bytes: &[u8]) -> Result<Vec<Stored>> {
    if safetensors::is_safetensors(bytes) {
        return safetensors::tensors(name, bytes);
    }
    if torch::is_zip(bytes) || torch::is_legacy(bytes) {
        return torch::tensors(name, bytes);
    }
    let what = if bytes.starts_with(b"version https://git-lfs") {
        "is a git-lfs pointer and not the weights themselves. Run `git lfs pull` in its folder"
    } else if bytes.trim_ascii_start().starts_with(b"<") {
        "is a web page and not weights. Download it again"
    } else {
        "is neither a safetensors file nor one of torch's, or was cut off. Download it or save it again"
    };
    Err(Error::ModelFormat(format!("{name} {what}")))
}
