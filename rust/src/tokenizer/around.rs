//! What stands around the queries of a model that learns in context: examples before them, behind them what asks for an answer.

use super::threads::on_threads;
use super::{Tokenizer, Tokens};
use crate::{Error, Result};

/// Text before and behind each query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Around {
    prefix: String,
    suffix: String,
    /// What all begin with, whatever comes behind it.
    beginning: Vec<u32>,
    /// Tokens of both.
    tokens: usize,
    /// Tokens that a query's length leaves free.
    reserved: usize,
}

impl Around {
    /// Counts the tokens of both texts.
    ///
    /// # Errors
    /// As [`Tokenizer::content`].
    pub fn new(tokenizer: &Tokenizer, prefix: &str, suffix: &str) -> Result<Self> {
        let count = |text: &str| Ok(tokenizer.content(text)?.len());
        let ids = tokenizer.content(prefix)?;
        // A text is split at added tokens before anything else is done with it.
        let added = |&id: &u32| tokenizer.pipeline.added().get(id).is_some();
        let sure = ids.iter().rposition(added).map_or(&ids[..0], |last| &ids[..=last]);
        Ok(Self {
            beginning: [&tokenizer.single.before, sure].concat(),
            tokens: ids.len() + count(suffix)?,
            // FlagEmbedding counts these words, whatever the tokenizer has around a text.
            reserved: count("<s>")? + count(&format!("{suffix}</s>"))?,
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        })
    }

    /// Ids that every query begins with; there may be more.
    #[must_use]
    pub fn beginning(&self) -> &[u32] {
        &self.beginning
    }

    /// Ids of a query with both texts and special tokens around it; of the query itself at most `max_length`, less what is left free.
    ///
    /// As in `FlagEmbedding`, the query becomes ids, is cut, becomes text again and then ids with all around it, which are cut once
    /// more. That is not the same as what it was: a space can come in behind an added token, and a character that was cut within its
    /// bytes becomes others.
    ///
    /// # Errors
    /// [`Error::Value`] where `max_length` is less than what is left free; those of [`Tokenizer::content`].
    pub fn encode(&self, tokenizer: &Tokenizer, query: &str, max_length: usize) -> Result<Tokens> {
        let room = max_length.checked_sub(self.reserved).ok_or_else(|| self.too_short(max_length))?;
        let content = tokenizer.content_up_to(query, room)?;
        let kept = tokenizer.cut(&content, room);
        let whole = [&*self.prefix, &tokenizer.decode(kept, false)?, &self.suffix].concat();
        let mut tokens = tokenizer.encode(&whole, self.limit(max_length))?;
        tokens.total = tokens.total.max(tokens.ids.len() + content.len() - kept.len());
        Ok(tokens)
    }

    /// [`Self::encode`] for many queries, on up to `threads` threads of its own.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_many<T: AsRef<str> + Sync>(
        &self,
        tokenizer: &Tokenizer,
        queries: &[T],
        max_length: usize,
        threads: usize,
    ) -> Result<Vec<Tokens>> {
        on_threads(queries, threads, |query| self.encode(tokenizer, query, max_length))
    }

    /// Most tokens of all together.
    fn limit(&self, max_length: usize) -> usize {
        self.tokens.saturating_add(max_length).saturating_add(8) / 8 * 8 + 8
    }

    fn too_short(&self, max_length: usize) -> Error {
        Error::Value(format!(
            "max_length {max_length} is too short for a query: {} tokens are left free for the suffix and special tokens",
            self.reserved
        ))
    }
}
