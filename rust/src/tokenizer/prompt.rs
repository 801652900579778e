//! Pairs as decoders score them: a query, a passage, and a prompt that asks about both.

use super::{Tokenizer, Tokens};
use crate::Result;

/// What stands before, between and behind the texts of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    start: Option<u32>,
    separator: Vec<u32>,
    question: Vec<u32>,
}

impl Prompt {
    /// Tokenizes the separator, a line feed, and the prompt, each by itself; `start` is the token before all.
    ///
    /// # Errors
    /// As [`Tokenizer::content`].
    pub fn new(tokenizer: &Tokenizer, start: Option<u32>, prompt: &str) -> Result<Self> {
        Ok(Self { start, separator: tokenizer.content("\n")?, question: tokenizer.content(prompt)? })
    }

    /// Tokens behind the passage.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.separator.len() + self.question.len()
    }

    /// Ids of a pair, from those of its texts. The passage is cut, so that start, query, separator and passage have `max_length` and as
    /// many more as stand behind them; where nothing were left, of the separator neither, it is not cut at all.
    #[must_use]
    pub fn pair(&self, query: &[u32], passage: &[u32], max_length: usize) -> Tokens {
        let first = [self.start.as_slice(), query].concat();
        let second = [self.separator.as_slice(), passage].concat();
        let room = max_length.saturating_add(self.behind()).saturating_sub(first.len());
        let kept = if room == 0 { &second[..] } else { &second[..room.min(second.len())] };
        let ids = [&first, kept, &self.separator, &self.question].concat();
        Tokens {
            first: first.len() + self.separator.len().min(kept.len()),
            total: ids.len() + second.len() - kept.len(),
            ids,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: [u32; 3] = [10, 11, 12];
    const PASSAGE: [u32; 4] = [20, 21, 22, 23];

    fn prompt(start: Option<u32>) -> Prompt {
        Prompt { start, separator: vec![7, 8], question: vec![9] }
    }

    #[test]
    fn the_passage_alone_is_cut() {
        let whole = prompt(Some(1)).pair(&QUERY, &PASSAGE, 100);
        assert_eq!(whole.ids, [1, 10, 11, 12, 7, 8, 20, 21, 22, 23, 7, 8, 9]);
        assert_eq!((whole.first, whole.truncated()), (6, false));
        let cut = prompt(Some(1)).pair(&QUERY, &PASSAGE, 5);
        assert_eq!(cut.ids, [1, 10, 11, 12, 7, 8, 20, 21, 7, 8, 9]);
        assert_eq!((cut.first, cut.total), (6, 13));
        assert_eq!(prompt(None).pair(&QUERY, &[], 5).ids, [10, 11, 12, 7, 8, 7, 8, 9]);
    }

    #[test]
    fn where_all_would_go_nothing_is_cut() {
        assert_eq!(prompt(Some(1)).pair(&QUERY, &PASSAGE, 2).ids, [1, 10, 11, 12, 7, 7, 8, 9]);
        assert_eq!(prompt(Some(1)).pair(&QUERY, &PASSAGE, 1).ids.len(), 13);
        assert_eq!(prompt(Some(1)).pair(&QUERY, &PASSAGE, 0).ids.len(), 13);
    }
}
