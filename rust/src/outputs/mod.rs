//! What a run of a graph puts out, and how rows are read from it.

mod array;
mod lexical;
mod logits;
mod multi_vectors;
mod pooling;

pub(crate) use self::array::not_finite_texts;
pub use self::array::{Array, Outcome, RowError};
pub use self::lexical::Lexical;
pub(crate) use self::lexical::lexical_weights;
pub(crate) use self::logits::scores;
pub use self::multi_vectors::{Kept, MultiVectors, Texts};
pub(crate) use self::multi_vectors::{TokenVectors, token_vectors, token_width};
pub use self::pooling::{Finish, HiddenStates, Pooling};
use crate::{Error, Result};

/// One of the arrays that a graph can put out.
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
    /// A reranker's score, `[rows, 1]`; of some decoders several, `[rows, scores]`.
    Logits = 16,
    /// The last token's hidden state, `[rows, hidden]`.
    Last = 32,
    /// A decoder's keys and values, before positions turn them: `[layers, tokens, width]`.
    Past = 64,
    /// The mean of a text's hidden states, `[rows, hidden]`.
    Mean = 128,
}

impl Part {
    /// Each of them.
    pub const ALL: [Self; 8] =
        [Self::Cls, Self::HiddenStates, Self::Mean, Self::Sparse, Self::Colbert, Self::Logits, Self::Last, Self::Past];

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
            Self::Past => &["past"],
            // Of hidden states it is taken later.
            Self::Mean => &["mean_vecs", "last_hidden_state", "token_embeddings"],
            // Of hidden states the last token's is taken later.
            Self::Last => &["last", "last_hidden_state", "token_embeddings"],
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

    /// The outputs of these names, such as `["cls", "sparse"]`.
    ///
    /// # Errors
    /// [`Error::Value`] for a name that no output has.
    pub fn named<S: AsRef<str>>(names: &[S]) -> Result<Self> {
        names.iter().try_fold(Self::NONE, |set, name| Ok(set.with(name.as_ref().parse()?)))
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

    /// Whether the first token's hidden state is among what is asked of the last layer.
    #[must_use]
    pub fn takes_first_rows(self) -> bool {
        self.contains(Part::Cls) || self.contains(Part::Logits)
    }

    /// Whether there is one row for each text and nothing for each token, where the graph takes rows itself.
    #[must_use]
    pub fn of_texts(self) -> bool {
        self.iter().all(|part| matches!(part, Part::Cls | Part::Logits | Part::Mean | Part::Last))
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

impl std::str::FromStr for Part {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cls" => Ok(Self::Cls),
            "hidden_states" => Ok(Self::HiddenStates),
            "sparse" => Ok(Self::Sparse),
            "colbert" => Ok(Self::Colbert),
            "logits" => Ok(Self::Logits),
            "last" => Ok(Self::Last),
            "past" => Ok(Self::Past),
            "mean" => Ok(Self::Mean),
            other => Err(Error::Value(format!("{other:?} is not an output of a graph"))),
        }
    }
}
