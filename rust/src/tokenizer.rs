//! Texts → token ids.
//!
//! Immutable: the length to cut at is an argument of each call, so threads can share one tokenizer.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::pipeline::{
    EncodeOptions, Model, Normalizer, Override, PipelineNormalizer, PipelineToken, PipelineTokenizer, PreTokenizer,
    PreTokenizerScratch, Segment, SpecialSegmentIterator, normalize_all,
};

use crate::{Error, Result};

/// XLM-R's `tokenizer.json` has 17 MB; far larger files are not tokenizers.
const MAX_FILE_SIZE: u64 = 64 << 20;
/// Fewer texts are tokenized sooner than a thread is started.
const MIN_TEXTS_PER_THREAD: usize = 16;

/// One text's ids, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// At most the call's `max_length` ids.
    pub ids: Vec<u32>,
    /// How many ids the whole text has.
    pub total: usize,
}

impl Tokens {
    /// Whether ids were cut off.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.ids.len() < self.total
    }
}

/// The part of `tokenizer_config.json` that overrides `tokenizer.json`.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Overrides {
    do_lower_case: bool,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: bool,
    truncation_side: String,
}

impl Default for Overrides {
    fn default() -> Self {
        Self { do_lower_case: true, strip_accents: None, tokenize_chinese_chars: true, truncation_side: "right".into() }
    }
}

/// A checkpoint's tokenizer: `tokenizer.json` with what `tokenizer_config.json` says on top.
pub struct Tokenizer {
    pipeline: PipelineTokenizer,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    cut_left: bool,
    /// Ids of tokens that are looked for in the normalized text, if words are marked by `Metaspace`.
    late_tokens: Vec<u32>,
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
            .ok_or_else(|| Error::ModelNotFound(format!("{} has no tokenizer.json", folder.display())))?;
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
        // The reader trusts its input in places; a file that makes it panic is a bad file, not a bug to report.
        let pipeline = catch_unwind(AssertUnwindSafe(|| {
            tokenizers::canonicalize_value(&mut tokenizer).map_err(|e| e.to_string())?;
            tokenizers::from_json(&tokenizer.to_string()).map_err(|e| e.to_string())
        }))
        .unwrap_or_else(|_| Err("its parts contradict each other".into()))
        .map_err(|reason| Error::ModelFormat(format!("tokenizer.json cannot be used: {reason}")))?;
        let template = &pipeline.get_post_processor().single;
        let ids = |part: &[(PipelineToken, u8)]| part.iter().map(|(token, _)| token.id()).collect();
        Ok(Self {
            prefix: ids(&template.prefix),
            suffix: ids(&template.suffix),
            late_tokens: late_tokens(&pipeline),
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
        let options = EncodeOptions {
            add_special_tokens: false,
            padding: Override::Off,
            truncation: Override::Off,
            ..EncodeOptions::default()
        };
        let mut content = Vec::with_capacity(text.len() / 4 + 1);
        let mut outcome = self.pipeline.encode_into(text, &options, &mut content);
        if content.iter().any(|token| self.late_tokens.contains(&token.id())) {
            content.clear();
            outcome = self.encode_around_late_tokens(text, &mut content);
        }
        outcome.map_err(|e| Error::Value(e.to_string()))?;
        let content = PipelineToken::cast_slice(&content);
        let specials = self.prefix.len() + self.suffix.len();
        let keep = max_length.saturating_sub(specials).min(content.len());
        let kept = if self.cut_left { &content[content.len() - keep..] } else { &content[..keep] };
        let ids = [&self.prefix, kept, &self.suffix].concat();
        Ok(Tokens { ids, total: content.len() + specials })
    }

    /// Ids of a text that holds a late token, such as a typed `<mask>`.
    ///
    /// The pipeline puts word-start markers (`Metaspace`) before it looks for such tokens, so that a marker goes astray beside
    /// them. The file's own order is: normalize, take these tokens out, then mark the words of what is left.
    fn encode_around_late_tokens(&self, text: &str, out: &mut Vec<PipelineToken>) -> tokenizers::Result<()> {
        let vocabulary = self.pipeline.get_added_vocabulary();
        let Some((metaspace, normalizers)) = self.pipeline.get_normalizers().split_last() else { return Ok(()) };
        let (mut spans, mut scratch) = (Vec::new(), PreTokenizerScratch::default());
        let mut model_scratch = self.pipeline.get_model().init_scratch();
        for outer in SpecialSegmentIterator::new(text, vocabulary, false, false) {
            let (text, offset) = match outer {
                Segment::SpecialToken(id) => {
                    out.push(id.into());
                    continue;
                }
                Segment::Text { text, input_offset } => (text, input_offset),
            };
            let normalized = normalize_all(normalizers, text, offset)?;
            for inner in SpecialSegmentIterator::new(&normalized, vocabulary, true, false) {
                match inner {
                    Segment::SpecialToken(id) => out.push(id.into()),
                    Segment::Text { text, input_offset } => {
                        let words = metaspace.normalize(text, offset + input_offset)?;
                        spans.clear();
                        self.pipeline.get_pre_tokenizer().pre_tokenize(&words, &mut scratch, &mut spans)?;
                        self.pipeline.get_model().tokenize_spans(&words, &spans, &mut model_scratch, out)?;
                    }
                }
            }
        }
        Ok(())
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
        let serial = |texts: &[T]| texts.iter().map(|text| self.encode(text.as_ref(), max_length)).collect();
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

/// BERT's normalizer is rebuilt from `tokenizer_config.json`, as transformers does: the `tokenizer.json` of
/// bge-small-zh-v1.5 keeps capitals that its vocabulary does not have.
fn override_bert_normalizer(tokenizer: &mut Value, config: &Overrides) {
    let is_bert = tokenizer["model"]["type"] == "WordPiece"
        && (tokenizer["normalizer"].is_null() || tokenizer["normalizer"]["type"] == "BertNormalizer");
    if is_bert {
        let clean_text = tokenizer["normalizer"]["clean_text"].as_bool().unwrap_or(true);
        tokenizer["normalizer"] = json!({
            "type": "BertNormalizer",
            "clean_text": clean_text,
            "handle_chinese_chars": config.tokenize_chinese_chars,
            "strip_accents": config.strip_accents,
            "lowercase": config.do_lower_case,
        });
    }
}

fn late_tokens(pipeline: &PipelineTokenizer) -> Vec<u32> {
    let Some(PipelineNormalizer::Metaspace(_)) = pipeline.get_normalizers().last() else { return Vec::new() };
    let added = pipeline.get_added_vocabulary().get_added_tokens_decoder();
    added.into_iter().filter_map(|(id, token)| token.normalized.then_some(id)).collect()
}

fn vocabulary_size(tokenizer: &Value) -> u32 {
    let vocabulary = match &tokenizer["model"]["vocab"] {
        Value::Object(tokens) => tokens.len(),
        Value::Array(pieces) => pieces.len(),
        _ => 0,
    };
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let past_last = added.filter_map(|token| token["id"].as_u64()).max().map_or(0, |id| id + 1);
    u32::try_from(past_last.max(vocabulary as u64)).unwrap_or(u32::MAX)
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::ModelFormat(format!("{name} cannot be read: {e}")))
}

/// The file's text, or `None` where there is no such file.
fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(file) if !file.is_file() || file.len() > MAX_FILE_SIZE => {
            return Err(Error::ModelFormat(format!("{} is not a file of at most 64 MB", path.display())));
        }
        _ => {}
    }
    std::fs::read_to_string(path)
        .map(Some)
        .map_err(|error| Error::ModelFormat(format!("{} cannot be read: {error}", path.display())))
}
