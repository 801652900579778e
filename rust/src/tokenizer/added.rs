//! Added tokens: their ids, and where they stand in a text.

use std::collections::{BTreeMap, HashMap, HashSet};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use tokenizers::pipeline::{PipelineNormalizer, normalize_all};
use tokenizers::pre_tokenizers::whitespace::is_word_char;

use super::declared::AddedToken;
use crate::{Error, Result};

/// Takes memory in proportion to the tokens.
const KIND: Option<AhoCorasickKind> = Some(AhoCorasickKind::ContiguousNFA);

/// A piece of a text: a token that was found, or what lies between two.
pub(super) enum Piece<'a> {
    Token(u32),
    /// A part that begins at this byte.
    Text(&'a str, usize),
}

/// Tokens that are looked for before the model sees a text.
pub(super) struct AddedTokens {
    by_id: BTreeMap<u32, AddedToken>,
    ids: HashMap<String, u32>,
    raw: Search,
    normalized: Search,
    may_span_words: bool,
}

impl AddedTokens {
    /// Adds tokens batch by batch. Each has the id that the model has for it, else the next free one.
    ///
    /// `normalizers` are those that a text goes through before normalized tokens are looked for.
    pub fn new(
        batches: [Vec<AddedToken>; 2],
        model_size: u32,
        in_model: &HashMap<String, u32>,
        normalizers: &[PipelineNormalizer],
    ) -> Result<Self> {
        let mut table = Table::default();
        for batch in batches {
            table.add(batch, model_size, in_model);
        }
        let mut texts = [Vec::new(), Vec::new()];
        for token in table.special.iter().chain(&table.ordinary) {
            let id = table.ids[&token.content];
            let normalized = token.is_normalized();
            let text = if normalized { normalized_form(token, normalizers)? } else { token.content.clone() };
            texts[usize::from(normalized)].push((text, id));
        }
        let may_span_words = texts.iter().flatten().any(|(text, _)| text.contains(is_between_words));
        let [raw, normalized] = texts.map(Search::new);
        Ok(Self { by_id: table.by_id, ids: table.ids, raw: raw?, normalized: normalized?, may_span_words })
    }

    /// Cuts a text at the tokens in it; of a text that was normalized, at normalized ones.
    pub fn cut<'a>(
        &self,
        text: &'a str,
        normalized: bool,
        mut each: impl FnMut(Piece<'a>) -> Result<()>,
    ) -> Result<()> {
        let search = if normalized { &self.normalized } else { &self.raw };
        let mut done = 0;
        for (found, id) in search.matches(text) {
            let token = &self.by_id[&id];
            let (mut start, mut end) = (found.start, found.end);
            let (before, after) = (&text[..start], &text[end..]);
            if token.single_word && (before.ends_with(is_word_char) || after.starts_with(is_word_char)) {
                continue;
            }
            if token.lstrip {
                start = before.trim_end().len().max(done);
            }
            if token.rstrip {
                end += after.len() - after.trim_start().len();
            }
            if done < start {
                each(Piece::Text(&text[done..start], done))?;
            }
            each(Piece::Token(id))?;
            done = end;
        }
        if done < text.len() { each(Piece::Text(&text[done..], done)) } else { Ok(()) }
    }

    /// Whether one of them may lie across the end of a word.
    pub fn may_span_words(&self) -> bool {
        self.may_span_words
    }

    pub fn get(&self, id: u32) -> Option<&AddedToken> {
        self.by_id.get(&id)
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &AddedToken)> {
        self.by_id.iter().map(|(id, token)| (*id, token))
    }
}

/// Tokens as Hugging Face's tokenizers keeps them: whoever adds a token again changes its flags, but a special token is looked
/// for as it first was, and any other in every form that it had.
#[derive(Default)]
struct Table {
    by_id: BTreeMap<u32, AddedToken>,
    ids: HashMap<String, u32>,
    special: Vec<AddedToken>,
    ordinary: Vec<AddedToken>,
}

impl Table {
    fn add(&mut self, batch: Vec<AddedToken>, model_size: u32, in_model: &HashMap<String, u32>) {
        let mut is_special: HashSet<String> = self.special.iter().map(|token| token.content.clone()).collect();
        for token in batch.iter().filter(|token| token.special) {
            if is_special.insert(token.content.clone()) {
                self.special.push(token.clone());
            }
        }
        let mut existing: HashSet<AddedToken> = self.by_id.values().map(AddedToken::settled).collect();
        for token in batch {
            if !existing.insert(token.settled()) {
                continue;
            }
            let known = self.ids.get(&token.content).or_else(|| in_model.get(&token.content)).copied();
            let past_last = self.by_id.last_key_value().map_or(0, |(last, _)| last + 1);
            let id = known.unwrap_or_else(|| past_last.max(model_size));
            self.ids.insert(token.content.clone(), id);
            if !is_special.contains(&token.content) {
                self.ordinary.push(token.clone());
            }
            self.by_id.insert(id, token);
        }
    }
}

fn normalized_form(token: &AddedToken, normalizers: &[PipelineNormalizer]) -> Result<String> {
    let normalized = normalize_all(normalizers, &token.content, 1).map_err(|e| Error::ModelFormat(e.to_string()))?;
    if normalized.is_empty() {
        let what = format!("nothing is left of the added token {:?} when it is normalized", token.content);
        return Err(Error::UnsupportedModel(what));
    }
    Ok(normalized.into_owned())
}

/// Whitespace, and Chinese characters, each of which may be a word.
fn is_between_words(character: char) -> bool {
    character.is_whitespace() || ('\u{4e00}'..='\u{9fff}').contains(&character)
}

/// Finds the leftmost texts of a set, and the longest of those that begin together.
#[derive(Default)]
struct Search {
    automaton: Option<AhoCorasick>,
    ids: Vec<u32>,
}

impl Search {
    fn new(texts: Vec<(String, u32)>) -> Result<Self> {
        if texts.is_empty() {
            return Ok(Self::default());
        }
        let (texts, ids): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).kind(KIND).build(&texts);
        let automaton = automaton.map_err(|e| Error::ModelFormat(format!("the added tokens cannot be used: {e}")))?;
        Ok(Self { automaton: Some(automaton), ids })
    }

    fn matches<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (std::ops::Range<usize>, u32)> + 'a {
        let found = self.automaton.iter().flat_map(move |automaton| automaton.find_iter(text));
        found.map(|found| (found.range(), self.ids[found.pattern().as_usize()]))
    }
}
