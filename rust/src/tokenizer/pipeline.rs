//! Texts → ids and back, without special tokens around them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use serde_json::Value;
use tokenizers::Decoder;
use tokenizers::pipeline::{
    Model, Normalizer, PipelineModelScratch, PipelineNormalizer, PipelinePostProcessor, PipelineToken,
    PipelineTokenizer, PreTokenizer, PreTokenizerScratch, Span, normalize_all,
};

use super::added::{AddedTokens, Piece};
use super::declared::AddedToken;
use super::missing_bytes;
use super::prefix::PrefixRule;
use crate::{Error, Result};

/// A text is taken in parts only where one part has at least so many bytes.
const MIN_PREFIX: usize = 1024;
/// More than a token has in most texts.
const BYTES_PER_TOKEN: usize = 8;

/// Normalizers, pre-tokenizer, model and decoder of a `tokenizer.json`, and the tokens that are looked for before them.
///
/// The crate `tokenizers` is given no added tokens: it marks words (`Metaspace`) before it looks for normalized ones, where
/// the file's order is the other way round.
pub(super) struct Pipeline {
    parts: PipelineTokenizer,
    added: AddedTokens,
    model_size: u32,
    /// Whether a text, and what follows an added token, begins with a space.
    prefix_space: bool,
    prefix: Option<PrefixRule>,
    /// Ids from this one on stand for bytes that give no token.
    stand_ins: Option<u32>,
    /// What the model keeps between words, one for each thread at work.
    scratch: Mutex<Vec<Scratch>>,
}

struct Scratch {
    model: PipelineModelScratch,
    words: PreTokenizerScratch,
    spans: Vec<Span>,
    ids: Vec<PipelineToken>,
}

impl Scratch {
    #[expect(clippy::unnecessary_wraps, reason = "an arm beside others that may fail")]
    fn take(&mut self, id: u32) -> Result<()> {
        self.ids.push(id.into());
        Ok(())
    }
}

impl Pipeline {
    /// Builds it from `tokenizer.json`, whose own list of added tokens is replaced by `added`.
    pub fn new(mut tokenizer: Value, added: [Vec<AddedToken>; 2], prefix_space: bool) -> Result<Self> {
        let model_size = vocabulary_size(&tokenizer["model"]["vocab"]);
        let rule = PrefixRule::of(&tokenizer);
        let stand_ins = missing_bytes::stand_in(&mut tokenizer, added.iter().map(Vec::len).sum());
        let in_model = ids_in_model(&tokenizer["model"]["vocab"], &added.concat());
        if let Some(file) = tokenizer.as_object_mut() {
            // What is ours to do.
            for key in ["added_tokens", "truncation", "padding"] {
                file.remove(key);
            }
        }
        // The reader trusts its input in places; a file that makes it panic is a bad file, not a bug to report.
        let parts = catch_unwind(AssertUnwindSafe(|| {
            tokenizers::canonicalize_value(&mut tokenizer).map_err(|e| e.to_string())?;
            tokenizers::from_json(&tokenizer.to_string()).map_err(|e| e.to_string())
        }))
        .unwrap_or_else(|_| Err("its parts contradict each other".into()))
        .map_err(|reason| Error::ModelFormat(format!("tokenizer.json cannot be used: {reason}")))?;
        let added = AddedTokens::new(added, model_size, &in_model, before_words(&parts).0)?;
        let prefix = rule.filter(|_| !added.may_span_words());
        Ok(Self { parts, added, model_size, prefix_space, prefix, stand_ins, scratch: Mutex::default() })
    }

    /// Tokenizes something, with characters that no vocabulary has: what the file lacks is said when it is opened.
    pub fn try_out(&self) -> Result<()> {
        let tried = catch_unwind(AssertUnwindSafe(|| self.ids("a 1 \u{10fffd}\u{378}b.")));
        match tried {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::ModelFormat(format!("tokenizer.json cannot be used: {error}"))),
            Err(_) => Err(Error::ModelFormat("tokenizer.json cannot be used: its parts contradict each other".into())),
        }
    }

    /// All ids of `text`.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let kept = || self.scratch.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let taken = kept().pop();
        let mut scratch = taken.unwrap_or_else(|| Scratch {
            model: self.parts.get_model().init_scratch(),
            words: PreTokenizerScratch::default(),
            spans: Vec::new(),
            ids: Vec::new(),
        });
        scratch.ids.clear();
        self.cut_and_encode(text, &mut scratch)?;
        let mut ids = PipelineToken::cast_slice(&scratch.ids).to_vec();
        if let Some(stand_ins) = self.stand_ins {
            ids.retain(|&id| id < stand_ins);
        }
        kept().push(scratch);
        Ok(ids)
    }

    /// All ids of `text`, or at least the first `count`: then what stands behind them need not be looked at.
    pub fn first_ids(&self, text: &str, count: usize) -> Result<Vec<u32>> {
        let Some(rule) = self.prefix else { return self.ids(text) };
        let normalized = |text: &str| Some(normalize_all(before_words(&self.parts).0, text, 1).ok()?.into_owned());
        let mut bytes = count.saturating_mul(BYTES_PER_TOKEN).max(MIN_PREFIX);
        while bytes < text.len() / 2 {
            if let Some(end) = rule.end(text, bytes, normalized) {
                let ids = self.ids(&text[..end])?;
                if ids.len() >= count {
                    return Ok(ids);
                }
            }
            bytes *= 2;
        }
        self.ids(text)
    }

    /// In the file's order: tokens of the raw text, normalizers, tokens of the normalized text, words, model.
    fn cut_and_encode(&self, text: &str, scratch: &mut Scratch) -> Result<()> {
        self.added.cut(text, false, |piece| match piece {
            Piece::Token(id) => scratch.take(id),
            Piece::Text(text, place) => self.normalize_and_encode(text, place, scratch),
        })
    }

    /// `place` is where the text begins in the whole one.
    fn normalize_and_encode(&self, text: &str, place: usize, scratch: &mut Scratch) -> Result<()> {
        let (normalizers, words) = before_words(&self.parts);
        let normalized = normalize_all(normalizers, text, place).map_err(unusable_text)?;
        self.added.cut(&normalized, true, |piece| match (piece, words) {
            (Piece::Token(id), _) => scratch.take(id),
            (Piece::Text(text, _), None) if self.prefix_space && !text.starts_with(' ') => {
                self.encode(&format!(" {text}"), scratch)
            }
            (Piece::Text(text, _), None) => self.encode(text, scratch),
            (Piece::Text(text, within), Some(words)) => {
                self.encode(&words.normalize(text, place + within).map_err(unusable_text)?, scratch)
            }
        })
    }

    fn encode(&self, text: &str, scratch: &mut Scratch) -> Result<()> {
        if u32::try_from(text.len()).is_err() {
            return Err(Error::Value("a text has over 4 GiB".into()));
        }
        let Scratch { model, words, spans, ids } = scratch;
        spans.clear();
        self.parts.get_pre_tokenizer().pre_tokenize(text, words, spans).map_err(unusable_text)?;
        ids.reserve(spans.len());
        self.parts.get_model().tokenize_spans(text, spans, model, ids).map_err(unusable_text)
    }

    /// Text of `ids`, with or without special tokens.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        let kept = ids.iter().copied();
        let kept = kept.filter(|&id| !skip_special_tokens || !self.added.get(id).is_some_and(|token| token.special));
        let tokens: Vec<String> = kept.filter_map(|id| self.token(id)).collect();
        match self.parts.get_decoder() {
            Some(decoder) => decoder.decode(tokens).map_err(unusable_text),
            None => Ok(tokens.join(" ")),
        }
    }

    /// The token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.added.get(id).map(|token| token.content.clone()).or_else(|| self.parts.get_model().id_to_token(id))
    }

    pub fn added(&self) -> &AddedTokens {
        &self.added
    }

    /// One past the highest id.
    pub fn size(&self) -> u32 {
        self.added.iter().last().map_or(0, |(id, _)| id + 1).max(self.model_size)
    }

    /// Number of the model's own tokens.
    pub fn model_size(&self) -> u32 {
        self.model_size
    }

    pub fn templates(&self) -> &PipelinePostProcessor {
        self.parts.get_post_processor()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unusable_text(error: tokenizers::Error) -> Error {
    Error::Value(format!("the text cannot be tokenized: {error}"))
}

/// The normalizers, without the one that marks words.
fn before_words(parts: &PipelineTokenizer) -> (&[PipelineNormalizer], Option<&PipelineNormalizer>) {
    match parts.get_normalizers() {
        [before @ .., words @ PipelineNormalizer::Metaspace(_)] => (before, Some(words)),
        all => (all, None),
    }
}

/// The number of the model's own tokens, from where on new ones are numbered.
fn vocabulary_size(vocabulary: &Value) -> u32 {
    let size = match vocabulary {
        Value::Object(tokens) => tokens.len(),
        Value::Array(pieces) => pieces.len(),
        _ => 0,
    };
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Ids of those of the added tokens that the model has too.
fn ids_in_model(vocabulary: &Value, added: &[AddedToken]) -> HashMap<String, u32> {
    let id_of = |place: u64| u32::try_from(place).ok();
    match vocabulary {
        Value::Object(ids) => {
            let found = added
                .iter()
                .filter_map(|token| Some((token.content.clone(), id_of(ids.get(&token.content)?.as_u64()?)?)));
            found.collect()
        }
        Value::Array(pieces) => {
            let wanted: std::collections::HashSet<&str> = added.iter().map(|token| &*token.content).collect();
            let pieces = (0..).zip(pieces).filter_map(|(place, piece)| Some((piece[0].as_str()?, id_of(place)?)));
            pieces.filter(|(piece, _)| wanted.contains(piece)).map(|(piece, id)| (piece.to_owned(), id)).collect()
        }
        _ => HashMap::new(),
    }
}
