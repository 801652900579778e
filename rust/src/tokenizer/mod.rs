//! Texts → token ids.
//!
//! Immutable: the length to cut at is an argument of each call, so threads can share one tokenizer.

mod files;
mod segments;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer, Template};

use self::files::{Overrides, override_bert_normalizer, parse, read, take_prefix_space, vocabulary_size};
use self::segments::late_tokens;
use crate::{Error, Result};

/// Fewer texts are tokenized sooner than a thread is started.
const MIN_TEXTS_PER_THREAD: usize = 16;

/// Ids of one text or of a pair, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// At most the call's `max_length` ids.
    pub ids: Vec<u32>,
    /// How many ids the whole text has.
    pub total: usize,
    /// Ids of the first text of a pair, with the special tokens around it; of a single text all.
    pub first: usize,
}

impl Tokens {
    /// Whether ids were cut off.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.ids.len() < self.total
    }
}

/// A checkpoint's tokenizer: `tokenizer.json` with what `tokenizer_config.json` says on top.
pub struct Tokenizer {
    pipeline: PipelineTokenizer,
    single: Frame,
    pair: Frame,
    cut_left: bool,
    /// Ids of tokens that are looked for in the normalized text, if words are marked by `Metaspace`.
    late_tokens: Vec<u32>,
    /// Whether a text, and what follows a special token, begins with a space.
    prefix_space: bool,
    size: u32,
    ids_by_token: OnceLock<HashMap<String, u32>>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, if present, `tokenizer_config.json` from `folder`.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] without `tokenizer.json`; [`Error::ModelFormat`] for a file that is no tokenizer.
    pub fn open(folder: &Path) -> Result<Self> {
        let stored = read(&folder.join("tokenizer.json"))?
            .ok_or_else(|| {
                Error::ModelNotFound(format!(
                    "{} has no tokenizer.json. With transformers, AutoTokenizer.from_pretrained(folder).save_pretrained(folder) \
                     makes one of vocab.txt or sentencepiece.bpe.model",
                    folder.display()
                ))
            })?;
        let config = read(&folder.join("tokenizer_config.json"))?.unwrap_or_else(|| "{}".into());
        Self::from_json(&stored, &config).map_err(|error| match error {
            Error::ModelFormat(reason) => Error::ModelFormat(format!("{}: {reason}", folder.display())),
            other => other,
        })
    }

    /// Builds the tokenizer from the text of the two files.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for a text that is no tokenizer.
    pub fn from_json(tokenizer: &str, config: &str) -> Result<Self> {
        let mut tokenizer: Value = parse("tokenizer.json", tokenizer)?;
        let config: Overrides = parse("tokenizer_config.json", config)?;
        override_bert_normalizer(&mut tokenizer, &config);
        let prefix_space = take_prefix_space(&mut tokenizer, &config);
        // The reader trusts its input in places; a file that makes it panic is a bad file, not a bug to report.
        let pipeline = catch_unwind(AssertUnwindSafe(|| {
            tokenizers::canonicalize_value(&mut tokenizer).map_err(|e| e.to_string())?;
            tokenizers::from_json(&tokenizer.to_string()).map_err(|e| e.to_string())
        }))
        .unwrap_or_else(|_| Err("its parts contradict each other".into()))
        .map_err(|reason| Error::ModelFormat(format!("tokenizer.json cannot be used: {reason}")))?;
        let templates = pipeline.get_post_processor();
        Ok(Self {
            single: Frame::new(&templates.single),
            pair: Frame::new(&templates.pair),
            late_tokens: late_tokens(&pipeline),
            prefix_space,
            cut_left: config.truncation_side == "left",
            size: vocabulary_size(&tokenizer),
            ids_by_token: OnceLock::new(),
            pipeline,
        })
    }

    /// Ids of `text` with special tokens, cut to `max_length`; the special tokens alone where `max_length` has no room for more.
    ///
    /// # Errors
    /// [`Error::Value`] for a text of over 4 GiB.
    pub fn encode(&self, text: &str, max_length: usize) -> Result<Tokens> {
        let content = self.content(text)?;
        let kept = self.cut(&content, max_length.saturating_sub(self.single.length()));
        let ids = [&self.single.before, kept, &self.single.between, &self.single.after].concat();
        Ok(Tokens { first: ids.len(), ids, total: content.len() + self.single.length() })
    }

    /// Ids of a query and a passage with special tokens, from the ids that [`Self::content`] gives for each. The query has the
    /// first right to `max_length`; of the passage what then fits is kept. All special tokens stay, whatever is empty.
    #[must_use]
    pub fn pair(&self, query: &[u32], passage: &[u32], max_length: usize) -> Tokens {
        let frame = &self.pair;
        let room = max_length.saturating_sub(frame.length());
        let query = self.cut(query, room);
        let kept = self.cut(passage, room - query.len());
        let first = frame.before.len() + query.len() + frame.between.len();
        let ids = [&frame.before, query, &frame.between, kept, &frame.after].concat();
        Tokens { ids, total: first + passage.len() + frame.after.len(), first }
    }

    /// The first `length` ids; the last ones where the checkpoint cuts on the left.
    #[must_use]
    pub fn cut<'a>(&self, ids: &'a [u32], length: usize) -> &'a [u32] {
        let keep = length.min(ids.len());
        if self.cut_left { &ids[ids.len() - keep..] } else { &ids[..keep] }
    }

    /// All ids of `text`, without special tokens around them.
    ///
    /// # Errors
    /// [`Error::Value`] for a text of over 4 GiB.
    pub fn content(&self, text: &str) -> Result<Vec<u32>> {
        let options = EncodeOptions {
            add_special_tokens: false,
            padding: Override::Off,
            truncation: Override::Off,
            ..EncodeOptions::default()
        };
        let mut content = Vec::with_capacity(text.len() / 4 + 1);
        let mut outcome = Ok(());
        if !self.prefix_space {
            outcome = self.pipeline.encode_into(text, &options, &mut content);
        }
        if self.prefix_space || content.iter().any(|token| self.late_tokens.contains(&token.id())) {
            content.clear();
            outcome = self.encode_around_tokens(text, &mut content);
        }
        outcome.map_err(|e| Error::Value(e.to_string()))?;
        Ok(PipelineToken::cast_slice(&content).to_vec())
    }

    /// [`Self::encode`] for many texts, on up to `threads` threads of its own.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_many<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        max_length: usize,
        threads: usize,
    ) -> Result<Vec<Tokens>> {
        on_threads(texts, threads, |text| self.encode(text, max_length))
    }

    /// [`Self::content`] for many texts, on up to `threads` threads of its own.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn content_many<T: AsRef<str> + Sync>(&self, texts: &[T], threads: usize) -> Result<Vec<Vec<u32>>> {
        on_threads(texts, threads, |text| self.content(text))
    }

    /// Text of `ids`, with or without special tokens.
    ///
    /// # Errors
    /// [`Error::Value`] where the ids are no text.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.pipeline.decode(ids, skip_special_tokens).map_err(|e| Error::Value(e.to_string()))
    }

    /// The token of an id.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.pipeline.decode_tokens(&[id], false).pop()
    }

    /// The id of a token.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        let build = || (0..self.size).filter_map(|id| Some((self.token(id)?, id))).collect();
        self.ids_by_token.get_or_init(build).get(token).copied()
    }

    /// Number of ids, added tokens included.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }
}

/// The special tokens around a text or a pair.
struct Frame {
    before: Vec<u32>,
    between: Vec<u32>,
    after: Vec<u32>,
}

impl Frame {
    fn new(template: &Template) -> Self {
        let ids = |part: &[(PipelineToken, u8)]| part.iter().map(|(token, _)| token.id()).collect();
        Self { before: ids(&template.prefix), between: ids(&template.infix), after: ids(&template.suffix) }
    }

    fn length(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }
}

fn on_threads<T: AsRef<str> + Sync, R: Send>(
    texts: &[T],
    threads: usize,
    encode: impl Fn(&str) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let serial = |texts: &[T]| texts.iter().map(|text| encode(text.as_ref())).collect();
    let workers = threads.min(texts.len() / MIN_TEXTS_PER_THREAD);
    if workers < 2 {
        return serial(texts);
    }
    let parts = texts.chunks(texts.len().div_ceil(workers));
    std::thread::scope(|scope| {
        let handles: Vec<_> = parts.map(|part| scope.spawn(move || serial(part))).collect();
        let mut all = Vec::with_capacity(texts.len());
        for handle in handles {
            all.extend(handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}
