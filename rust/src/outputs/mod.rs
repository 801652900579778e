//! What a run of a graph puts out.

mod array;
mod multi_vectors;
mod pooling;

pub use self::array::Array;
pub use self::multi_vectors::{Layout, MultiVectors};
pub(crate) use self::multi_vectors::{token_vectors, token_width};
pub(crate) use self::pooling::normalize;
pub use self::pooling::{Finish, HiddenStates, Pooling};
use crate::{Error, Result};

/// One output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// The first token's hidden state, `[rows, hidden]`.
    Cls = 1,
    /// `[rows, length, hidden]`.
    HiddenStates = 2,
    /// M3's lexical weight of each token, before relu: `[rows, length, 1]`.
    Sparse = 4,
    /// M3's vector of each token, before normalization: `[rows, length, width]`.
    Colbert = 8,
    /// A reranker's score, `[rows, 1]`.
    Logits = 16,
}

impl Part {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Cls, Self::HiddenStates, Self::Sparse, Self::Colbert, Self::Logits];

    /// Names that graphs have for it, best first: ours, transformers', sentence-transformers'.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            // Of hidden states the first row is taken later.
            Self::Cls => &["dense_vecs", "last_hidden_state", "token_embeddings"],
            Self::HiddenStates => &["last_hidden_state", "token_embeddings"],
            Self::Sparse => &["sparse_vecs"],
            Self::Colbert => &["colbert_vecs"],
            Self::Logits => &["logits"],
        }
    }
}

/// A set of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outputs(u8);

impl Outputs {
    /// None.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub fn with(self, part: Part) -> Self {
        Self(self.0 | part as u8)
    }

    /// Whether `part` is one of these.
    #[must_use]
    pub fn contains(self, part: Part) -> bool {
        self.0 & part as u8 != 0
    }

    /// Each of these, always in the same order.
    pub fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(move |&part| self.contains(part))
    }

    /// Whether the first token's hidden state is all that is asked of the last layer.
    #[must_use]
    pub fn first_row_only(self) -> bool {
        self.iter().all(|part| matches!(part, Part::Cls | Part::Logits))
    }
}

impl From<Part> for Outputs {
    fn from(part: Part) -> Self {
        Self::NONE.with(part)
    }
}

impl std::str::FromStr for Outputs {
    type Err = Error;

    /// Names joined by `+`, such as `cls+sparse`.
    fn from_str(names: &str) -> Result<Self> {
        names.split('+').try_fold(Self::NONE, |set, name| {
            let part = match name {
                "cls" => Part::Cls,
                "hidden_states" => Part::HiddenStates,
                "sparse" => Part::Sparse,
                "colbert" => Part::Colbert,
                "logits" => Part::Logits,
                other => return Err(Error::Value(format!("{other:?} is not an output of a graph"))),
            };
            Ok(set.with(part))
        })
    }
}
