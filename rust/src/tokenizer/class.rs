//! What transformers' class of a tokenizer adds to its files.

use serde_json::{Value, json};

use super::files::Object;
use crate::{Error, Result};

/// A family of transformers' tokenizer classes that treat their files alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Bert,
    DistilBert,
    MpNet,
    Roberta,
    Camembert,
    XlmRoberta,
    /// `PreTrainedTokenizerFast`: `tokenizer.json` as it stands, but for pairs in transformers 4.
    Generic,
    /// `TokenizersBackend` and classes that transformers does not know: `tokenizer.json` as it stands.
    AsStored,
}

/// Classes that rebuild BERT's normalizer from `tokenizer_config.json`.
const BERT_LIKE: [&str; 9] = [
    "BertTokenizer",
    "ConvBertTokenizer",
    "ElectraTokenizer",
    "FunnelTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "RetriBertTokenizer",
    "SqueezeBertTokenizer",
];

impl Class {
    /// By the name of the class, with or without `Fast`.
    pub fn named(name: &str) -> Self {
        match name.strip_suffix("Fast").unwrap_or(name) {
            name if BERT_LIKE.contains(&name) => Self::Bert,
            "DistilBertTokenizer" => Self::DistilBert,
            "MPNetTokenizer" => Self::MpNet,
            "RobertaTokenizer" => Self::Roberta,
            "CamembertTokenizer" => Self::Camembert,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            "PreTrainedTokenizer" => Self::Generic,
            _ => Self::AsStored,
        }
    }

    /// The class that a model of this `model_type` has unless its files name another.
    pub fn of_model(model_type: &str) -> Self {
        match model_type {
            "distilbert" => Self::DistilBert,
            "mpnet" => Self::MpNet,
            "roberta" => Self::Roberta,
            "camembert" => Self::Camembert,
            "xlm-roberta" => Self::XlmRoberta,
            _ => Self::Bert,
        }
    }

    /// Rebuilds BERT's normalizer from `tokenizer_config.json`, for the classes that do: the `tokenizer.json` of
    /// bge-small-zh-v1.5 keeps capitals that its vocabulary does not have.
    pub fn override_normalizer(self, tokenizer: &mut Value, config: &Object) -> Result<()> {
        let rebuilds = matches!(self, Self::Bert | Self::DistilBert | Self::MpNet)
            && tokenizer["model"]["type"] == "WordPiece"
            && (tokenizer["normalizer"].is_null() || tokenizer["normalizer"]["type"] == "BertNormalizer");
        if !rebuilds {
            return Ok(());
        }
        let stored = tokenizer["normalizer"].take();
        let stored_or_true = |key: &str| stored[key].as_bool().unwrap_or(true);
        let splits_chinese = flag(config, "tokenize_chinese_chars")?.unwrap_or(true);
        tokenizer["normalizer"] = json!({
            "type": "BertNormalizer",
            "clean_text": stored_or_true("clean_text"),
            // MPNet's class leaves this one as it is stored.
            "handle_chinese_chars": if self == Self::MpNet { stored_or_true("handle_chinese_chars") } else { splits_chinese },
            "strip_accents": if config.get("strip_accents").is_none_or(Value::is_null) { None } else { flag(config, "strip_accents")? },
            "lowercase": flag(config, "do_lower_case")?.unwrap_or(true),
        });
        Ok(())
    }

    /// Whether the tokenizer gives token types.
    pub fn types(self, config: &Object) -> Result<bool> {
        Ok(gives_types(config)?.unwrap_or(self == Self::Bert))
    }

    /// Whether the second text of a pair has token type 1: where the tokenizer gives types at all, BERT's class does so by
    /// itself and an unknown one by its template, whose type for the second text is `stored`.
    pub fn types_pairs(self, config: &Object, stored: Option<u8>) -> Result<bool> {
        let second = match self {
            Self::Bert | Self::DistilBert => true,
            Self::Generic | Self::AsStored => stored == Some(1),
            Self::MpNet | Self::Roberta | Self::Camembert | Self::XlmRoberta => false,
        };
        Ok(second && self.types(config)?)
    }

    /// Whether pairs have no special tokens, but room for them: so does transformers 4 with a class that has no template of
    /// its own. Where it gives types too, their number does not fit, and only transformers 5 builds such pairs at all.
    pub fn leaves_pairs_bare(self, config: &Object) -> Result<bool> {
        Ok(self == Self::Generic && gives_types(config)? == Some(false))
    }
}

/// Whether byte-level BPE (`RoBERTa`) puts a space before texts that begin without one, which `tokenizer_config.json` says. The
/// crate knows no such splitter.
pub(super) fn take_prefix_space(tokenizer: &mut Value, config: &Object) -> Result<bool> {
    let Some(splitter) = tokenizer.get_mut("pre_tokenizer").filter(|splitter| splitter["type"] == "ByteLevel") else {
        return Ok(false);
    };
    splitter["add_prefix_space"] = json!(false);
    Ok(flag(config, "add_prefix_space")?.unwrap_or(false))
}

/// Whether token types are among the `model_input_names` of `tokenizer_config.json`; `None` where it names none.
fn gives_types(config: &Object) -> Result<Option<bool>> {
    match config.get("model_input_names") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(names)) => Ok(Some(names.iter().any(|name| name == "token_type_ids"))),
        Some(_) => Err(Error::ModelFormat("tokenizer_config.json: model_input_names is not a list".into())),
    }
}

/// A switch of `tokenizer_config.json`; `None` where it is missing.
pub(super) fn flag(config: &Object, key: &str) -> Result<Option<bool>> {
    match config.get(key) {
        None => Ok(None),
        Some(Value::Bool(on)) => Ok(Some(*on)),
        Some(_) => Err(Error::ModelFormat(format!("tokenizer_config.json: {key} is neither true nor false"))),
    }
}
