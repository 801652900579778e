//! The files of a tokenizer, read with bounds.

use std::path::Path;

use serde_json::{Map, Value};

use super::class::Class;
use crate::{Error, Result};

/// XLM-R's `tokenizer.json` has 17 MB; far larger files are not tokenizers.
const MAX_FILE_SIZE: u64 = 64 << 20;

/// An object of a JSON file; empty where there is no such file.
pub(super) type Object = Map<String, Value>;

/// What says how texts become ids, besides `tokenizer.json` itself.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// `tokenizer_config.json`.
    pub config: Object,
    /// `special_tokens_map.json`.
    pub special_tokens_map: Object,
    /// `added_tokens.json`: ids by token.
    pub added_tokens: Object,
    /// `config.json` of the model.
    pub model: Object,
}

impl Beside {
    pub fn read(folder: &Path) -> Result<Self> {
        let object = |name: &str| {
            read(&folder.join(name))?.map_or_else(|| Ok(Object::new()), |text| parse::<Object>(name, &text))
        };
        Ok(Self {
            config: object("tokenizer_config.json")?,
            special_tokens_map: object("special_tokens_map.json")?,
            added_tokens: object("added_tokens.json")?,
            model: object("config.json")?,
        })
    }

    /// The class that transformers would open.
    pub fn class(&self) -> Class {
        let named = [&self.config, &self.model].into_iter().find_map(|file| file.get("tokenizer_class")?.as_str());
        let of_model = || Class::of_model(self.model.get("model_type").and_then(Value::as_str).unwrap_or_default());
        named.map_or_else(of_model, Class::named)
    }

    /// On which side long texts are cut: as `tokenizer_config.json` says, else as `tokenizer.json` was saved with.
    pub fn cuts_left(&self, tokenizer: &Value) -> Result<bool> {
        match self.config.get("truncation_side") {
            None | Some(Value::Null) => Ok(tokenizer["truncation"]["direction"] == "Left"),
            Some(side) if side == "left" || side == "right" => Ok(side == "left"),
            Some(_) => Err(Error::ModelFormat(
                "tokenizer_config.json: truncation_side is neither \"left\" nor \"right\"".into(),
            )),
        }
    }
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::ModelFormat(format!("{name} cannot be read: {e}")))
}

/// The file's text, or `None` where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    bytes(path)?
        .map(String::from_utf8)
        .transpose()
        .map_err(|error| Error::ModelFormat(format!("{} cannot be read: {error}", path.display())))
}

/// The file's bytes, or `None` where there is no such file.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // A link to nothing was meant to be something.
            if path.is_symlink() {
                return Err(Error::ModelNotFound(format!("{} is a link that leads nowhere", path.display())));
            }
            return Ok(None);
        }
        Ok(file) if !file.is_file() || file.len() > MAX_FILE_SIZE => {
            return Err(Error::ModelFormat(format!("{} is not a file of at most 64 MB", path.display())));
        }
        _ => {}
    }
    std::fs::read(path)
        .map(Some)
        .map_err(|error| Error::ModelFormat(format!("{} cannot be read: {error}", path.display())))
}
