//! `tokenizer.json`, and what `tokenizer_config.json` overrides of it.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, Result};

/// XLM-R's `tokenizer.json` has 17 MB; far larger files are not tokenizers.
const MAX_FILE_SIZE: u64 = 64 << 20;

/// The part of `tokenizer_config.json` that overrides `tokenizer.json`.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Overrides {
    do_lower_case: bool,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: bool,
    add_prefix_space: bool,
    pub truncation_side: String,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
            add_prefix_space: false,
            truncation_side: "right".into(),
        }
    }
}

/// BERT's normalizer is rebuilt from `tokenizer_config.json`, as transformers does: the `tokenizer.json` of
/// bge-small-zh-v1.5 keeps capitals that its vocabulary does not have.
pub(super) fn override_bert_normalizer(tokenizer: &mut Value, config: &Overrides) {
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

/// Whether byte-level BPE (`RoBERTa`) puts a space before texts that begin without one, which `tokenizer_config.json` says. The crate
/// knows no such splitter.
pub(super) fn take_prefix_space(tokenizer: &mut Value, config: &Overrides) -> bool {
    let Some(splitter) = tokenizer.get_mut("pre_tokenizer").filter(|splitter| splitter["type"] == "ByteLevel") else {
        return false;
    };
    splitter["add_prefix_space"] = json!(false);
    config.add_prefix_space
}

pub(super) fn vocabulary_size(tokenizer: &Value) -> u32 {
    let vocabulary = match &tokenizer["model"]["vocab"] {
        Value::Object(tokens) => tokens.len(),
        Value::Array(pieces) => pieces.len(),
        _ => 0,
    };
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let past_last = added.filter_map(|token| token["id"].as_u64()).max().map_or(0, |id| id + 1);
    u32::try_from(past_last.max(vocabulary as u64)).unwrap_or(u32::MAX)
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::ModelFormat(format!("{name} cannot be read: {e}")))
}

/// The file's text, or `None` where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
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
