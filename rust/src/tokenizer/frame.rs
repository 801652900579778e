//! The special tokens around a text or a pair, and what is cut to make room for them.

use tokenizers::pipeline::{PipelineToken, Template};

/// Ids of one text or of a pair, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// At most the call's `max_length` ids.
    pub ids: Vec<u32>,
    /// How many ids the whole text has; of one that was cut at least so many: its end may not have been looked at.
    pub total: usize,
    /// The first ids, which have token type 0; those after them have type 1, such as the second text of a pair of BERT's.
    pub first: usize,
}

impl Tokens {
    /// Whether ids were cut off.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.ids.len() < self.total
    }
}

/// The special tokens around a text or a pair.
pub(super) struct Frame {
    pub before: Vec<u32>,
    pub between: Vec<u32>,
    pub after: Vec<u32>,
    /// How many ids are kept free for them.
    pub room: usize,
}

impl Frame {
    pub fn new(template: &Template) -> Self {
        let ids = |part: &[(PipelineToken, u8)]| part.iter().map(|(token, _)| token.id()).collect();
        let (before, between, after) = (ids(&template.prefix), ids(&template.infix), ids(&template.suffix));
        Self { before, between, after, room: template.n_special() }
    }

    /// No special tokens, but room for those of a template.
    pub fn bare(template: &Template) -> Self {
        Self { before: Vec::new(), between: Vec::new(), after: Vec::new(), room: template.n_special() }
    }
}
