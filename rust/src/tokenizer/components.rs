//! What a `tokenizer.json` may be made of: the components of BERT, XLM-R, `RoBERTa` and the decoder families, each with bounds.
//!
//! A file is a stranger's. Nothing in it may make a text grow, or the tokenizer itself, beyond what its own size allows.

use serde_json::Value;

use super::charsmap;
use crate::{Error, Result};

/// Keys of the file itself.
const KEYS: [&str; 9] = [
    "version",
    "truncation",
    "padding",
    "added_tokens",
    "normalizer",
    "pre_tokenizer",
    "post_processor",
    "decoder",
    "model",
];
const MAX_COMPONENTS: usize = 16;
/// Sequences within sequences.
const MAX_DEPTH: usize = 4;
/// How many times as long all replacements together may make a text.
const MAX_GROWTH: usize = 16;
const MAX_PREFIX: usize = 64;
const MAX_TOKEN: usize = 1024;
const MAX_SPECIAL_TOKENS: usize = 32;
const MAX_WORD: u64 = 1000;
/// Ids lie below the file's length in bytes, where every token takes some; a file of few tokens may still number them freely.
const FREE_IDS: usize = 1 << 17;
/// Regular expressions of normalizers; none of them needs backtracking.
pub(super) const REPLACED: [&str; 4] = [" {2,}", " +", r"\s+", r"\s{2,}"];

/// Refuses what is not known, or out of bounds.
///
/// # Errors
/// [`Error::UnsupportedModel`] names a component; [`Error::ModelFormat`] says what is wrong.
pub(super) fn check(tokenizer: &Value, file_size: usize) -> Result<()> {
    let file = tokenizer.as_object().ok_or_else(|| malformed("it is no object"))?;
    if let Some(key) = file.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(malformed(&format!("it has the unknown key {:?}", shown(key))));
    }
    if file.get("version").is_some_and(|version| version != "1.0") {
        return Err(malformed(&format!("its version is {}, not \"1.0\"", shown(&file["version"].to_string()))));
    }
    let model = &tokenizer["model"];
    check_model(model, file_size)?;
    let mut growth = 1;
    for normalizer in flat("normalizer", &tokenizer["normalizer"], "normalizers")? {
        growth = check_normalizer(normalizer, growth)?;
    }
    for pre_tokenizer in flat("pre_tokenizer", &tokenizer["pre_tokenizer"], "pretokenizers")? {
        check_pre_tokenizer(pre_tokenizer, model)?;
    }
    for processor in flat("post_processor", &tokenizer["post_processor"], "processors")? {
        check_post_processor(processor)?;
    }
    let mut growth = 1;
    for decoder in flat("decoder", &tokenizer["decoder"], "decoders")? {
        growth = check_decoder(decoder, growth)?;
    }
    Ok(())
}

fn malformed(reason: &str) -> Error {
    Error::ModelFormat(format!("tokenizer.json cannot be used: {reason}"))
}

fn unsupported(what: &str, name: &str) -> Error {
    Error::UnsupportedModel(format!("tokenizer.json: the {what} {} is not supported", shown(name)))
}

/// As much of a stranger's text as a message needs.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

pub(super) fn name(component: &Value) -> &str {
    component["type"].as_str().unwrap_or_default()
}

/// The components of a place of the file, those within sequences too.
pub(super) fn flat<'a>(place: &str, component: &'a Value, members: &str) -> Result<Vec<&'a Value>> {
    fn collect<'a>(component: &'a Value, members: &str, depth: usize, all: &mut Vec<&'a Value>) -> bool {
        if component.is_null() {
            return true;
        }
        if name(component) != "Sequence" {
            all.push(component);
            return all.len() <= MAX_COMPONENTS;
        }
        let inner = component[members].as_array().map_or(&[][..], Vec::as_slice);
        depth < MAX_DEPTH && inner.iter().all(|member| collect(member, members, depth + 1, all))
    }
    let mut all = Vec::new();
    if collect(component, members, 0, &mut all) {
        return Ok(all);
    }
    Err(malformed(&format!("its {place} has more than {MAX_COMPONENTS} parts, or more than {MAX_DEPTH} levels")))
}

fn check_normalizer(normalizer: &Value, growth: usize) -> Result<usize> {
    match name(normalizer) {
        "BertNormalizer" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents" | "Strip" => Ok(growth),
        "Precompiled" => charsmap::check(&normalizer["precompiled_charsmap"]).map(|()| growth),
        "Prepend" if normalizer["prepend"].as_str().is_some_and(|text| text.len() <= MAX_PREFIX) => Ok(growth),
        "Replace" => check_replace(normalizer, growth),
        other => Err(unsupported("normalizer", other)),
    }
}

/// Bounds how long a text gets by all replacements together.
fn check_replace(replace: &Value, growth: usize) -> Result<usize> {
    let content = replace["content"].as_str().unwrap_or_default().len();
    let shortest = match (replace["pattern"]["String"].as_str(), replace["pattern"]["Regex"].as_str()) {
        (Some(""), _) | (None, None) => return Err(malformed("a Replace has no pattern")),
        (Some(text), _) => text.len(),
        (None, Some(pattern)) if REPLACED.contains(&pattern) => 1,
        (None, Some(pattern)) => return Err(unsupported("regular expression", pattern)),
    };
    let growth = growth.saturating_mul(content.div_ceil(shortest).max(1));
    if growth > MAX_GROWTH {
        return Err(malformed(&format!("its replacements make texts more than {MAX_GROWTH} times as long")));
    }
    Ok(growth)
}

fn check_pre_tokenizer(pre_tokenizer: &Value, model: &Value) -> Result<()> {
    match (name(pre_tokenizer), name(model)) {
        ("BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" | "Punctuation" | "Digits", _)
        | ("Metaspace", "Unigram" | "BPE" | "")
        | ("ByteLevel", "BPE" | "") => Ok(()),
        ("Split", _) => check_split(&pre_tokenizer["pattern"]),
        (known @ ("Metaspace" | "ByteLevel"), model) => {
            Err(unsupported("pre_tokenizer", &format!("{known} with the model {model}")))
        }
        (other, _) => Err(unsupported("pre_tokenizer", other)),
    }
}

/// Regular expressions that tokenizers knows by heart, so that none is run.
fn check_split(pattern: &Value) -> Result<()> {
    match (pattern["String"].as_str(), pattern["Regex"].as_str()) {
        (Some(""), _) | (None, None) => Err(malformed("a Split has no pattern")),
        (None, Some(regex)) if tokenizers::utils::recognize(regex).is_none() => {
            Err(unsupported("regular expression", regex))
        }
        _ => Ok(()),
    }
}

fn check_post_processor(processor: &Value) -> Result<()> {
    match name(processor) {
        "BertProcessing" | "RobertaProcessing" | "ByteLevel" => return Ok(()),
        "TemplateProcessing" => {}
        other => return Err(unsupported("post_processor", other)),
    }
    let tokens = processor["special_tokens"].as_object();
    let ids = |piece: &Value| {
        let token = piece["SpecialToken"]["id"].as_str().and_then(|name| tokens?.get(name));
        token.and_then(|token| token["ids"].as_array()).map_or(1, Vec::len)
    };
    for key in ["single", "pair"] {
        let pieces = processor[key].as_array().map_or(&[][..], Vec::as_slice);
        if pieces.iter().map(ids).sum::<usize>() > MAX_SPECIAL_TOKENS {
            return Err(malformed(&format!("its template has more than {MAX_SPECIAL_TOKENS} special tokens")));
        }
    }
    Ok(())
}

fn check_decoder(decoder: &Value, growth: usize) -> Result<usize> {
    match name(decoder) {
        "WordPiece" | "Metaspace" | "ByteLevel" | "BPEDecoder" | "ByteFallback" | "Fuse" | "Strip" => Ok(growth),
        "Replace" => check_replace(decoder, growth),
        other => Err(unsupported("decoder", other)),
    }
}

fn check_model(model: &Value, file_size: usize) -> Result<()> {
    match name(model) {
        // Files of old leave the name out.
        "WordPiece" | "Unigram" | "BPE" | "WordLevel" | "" => {}
        other => return Err(unsupported("model", other)),
    }
    if model["dropout"].as_f64().is_some_and(|dropout| dropout != 0.0) {
        return Err(unsupported("model", "BPE with dropout, which is random,"));
    }
    if model["max_input_chars_per_word"].as_u64().is_some_and(|length| length > MAX_WORD) {
        return Err(malformed(&format!("its max_input_chars_per_word is over {MAX_WORD}")));
    }
    let past_last = u64::try_from(file_size.max(FREE_IDS)).unwrap_or(u64::MAX);
    let known = |token: &str, id: Option<u64>| {
        if token.len() > MAX_TOKEN {
            return Err(malformed(&format!("its token {:?}… is longer than {MAX_TOKEN} bytes", shown(token))));
        }
        match id {
            Some(id) if id < past_last => Ok(()),
            Some(id) => {
                Err(malformed(&format!("its token {:?} has the id {id}, and not as many tokens", shown(token))))
            }
            None => Err(malformed(&format!("the id of its token {:?} is no whole number", shown(token)))),
        }
    };
    match &model["vocab"] {
        Value::Object(ids) if !ids.is_empty() => ids.iter().try_for_each(|(token, id)| known(token, id.as_u64())),
        Value::Array(pieces) if !pieces.is_empty() => {
            pieces.iter().try_for_each(|piece| known(piece[0].as_str().unwrap_or_default(), Some(0)))
        }
        _ => Err(malformed("its model has no vocabulary")),
    }
}
