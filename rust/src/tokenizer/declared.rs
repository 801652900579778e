//! Which tokens a tokenizer's files add to the model's own, in the order in which transformers adds them.
//!
//! `tokenizer.json` comes first. Then come those that `tokenizer_config.json` lists by id; without such a list, those of
//! `added_tokens.json`. Last come special tokens that are only named by their role. A later token of the same content
//! replaces the flags of an earlier one and keeps its id.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::class::Class;
use super::files::{Beside, Object};
use crate::{Error, Result};

/// The roles of special tokens, in transformers' order.
pub(super) const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Where files name special tokens without a role.
const MORE: [&str; 2] = ["additional_special_tokens", "extra_special_tokens"];

/// A token that is looked for in texts before the model sees them, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of the file format")]
pub(super) struct AddedToken {
    pub content: String,
    /// Not inside of words.
    pub single_word: bool,
    /// Takes the white space before it.
    pub lstrip: bool,
    /// Takes the white space after it.
    pub rstrip: bool,
    /// Looked for in the normalized text, in its own normalized form; where no file says, tokens that are not special are.
    pub normalized: Option<bool>,
    /// Left out by `decode` on demand.
    pub special: bool,
}

impl AddedToken {
    pub fn plain(content: &str, special: bool) -> Self {
        let content = content.to_owned();
        Self { content, single_word: false, lstrip: false, rstrip: false, normalized: None, special }
    }

    pub fn is_normalized(&self) -> bool {
        self.normalized.unwrap_or(!self.special)
    }

    /// The same with every flag given: equal for tokens that mean the same.
    pub fn settled(&self) -> Self {
        Self { normalized: Some(self.is_normalized()), ..self.clone() }
    }

    /// As a file describes it; flags that it does not give have transformers' defaults.
    fn described(file: &str, token: &Object, special: Option<bool>) -> Result<Self> {
        let flag = |key: &str| match token.get(key) {
            None => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(*on)),
            Some(_) => Err(Error::ModelFormat(format!("{file}: the flag {key} of a token is neither true nor false"))),
        };
        let content = token.get("content").and_then(Value::as_str);
        let content = content.ok_or_else(|| Error::ModelFormat(format!("{file} lists a token without its content")))?;
        Ok(Self {
            content: content.to_owned(),
            single_word: flag("single_word")?.unwrap_or(false),
            lstrip: flag("lstrip")?.unwrap_or(false),
            rstrip: flag("rstrip")?.unwrap_or(false),
            normalized: flag("normalized")?,
            special: special.or(flag("special")?).unwrap_or(false),
        })
    }
}

/// A special token as a file names it: its text alone, or with flags.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Text(String),
    Token(AddedToken),
}

impl Named {
    fn read(file: &str, value: &Value, special: Option<bool>) -> Result<Self> {
        match value {
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Object(token) => AddedToken::described(file, token, special).map(Self::Token),
            _ => Err(Error::ModelFormat(format!("{file}: a special token is neither a text nor a token with flags"))),
        }
    }

    fn content(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Token(token) => &token.content,
        }
    }
}

/// What a tokenizer's files say about tokens outside of the model's own vocabulary.
pub(super) struct Declared {
    /// The tokens of `tokenizer.json`, and those that the files beside it add, in order.
    pub added: [Vec<AddedToken>; 2],
    /// Special tokens, by role or by the key of the list that names them.
    pub special: Vec<(&'static str, String)>,
}

impl Declared {
    pub fn read(tokenizer: &Value, beside: &Beside, class: Class) -> Result<Self> {
        let stored = stored(tokenizer)?;
        let listed = listed(beside, &stored)?;
        let special = special_tokens(tokenizer, beside, class, &listed)?;
        let names: HashSet<&str> = special.iter().map(|(_, named)| named.content()).collect();
        let stored: Vec<AddedToken> = stored.into_iter().map(|(_, token)| token).collect();
        let settled: HashSet<AddedToken> = stored.iter().map(AddedToken::settled).collect();
        let new = listed.into_values().filter(|new| !settled.contains(&new.settled()));
        let mut more: Vec<_> = new
            .map(|token| AddedToken { special: token.special || names.contains(&*token.content), ..token })
            .collect();
        let known: HashSet<String> = stored.iter().chain(&more).map(|token| token.content.clone()).collect();
        more.extend(special.iter().filter_map(|(_, named)| match named {
            Named::Text(text) => (!known.contains(text)).then(|| AddedToken::plain(text, true)),
            Named::Token(token) => Some(AddedToken { special: true, ..token.clone() }),
        }));
        let added = [stored, more].map(|tokens| tokens.into_iter().filter(|token| !token.content.is_empty()).collect());
        let special = special.iter().map(|(key, named)| (*key, named.content().to_owned())).collect();
        Ok(Self { added, special })
    }
}

/// `added_tokens` of `tokenizer.json`, with the ids that they have there.
fn stored(tokenizer: &Value) -> Result<Vec<(u64, AddedToken)>> {
    const FILE: &str = "tokenizer.json";
    let tokens = match tokenizer.get("added_tokens") {
        None => return Ok(Vec::new()),
        Some(tokens) => tokens.as_array(),
    };
    let unusable = || Error::ModelFormat(format!("{FILE}: added_tokens is not a list of tokens with ids"));
    tokens
        .ok_or_else(unusable)?
        .iter()
        .map(|token| {
            let id = token["id"].as_u64().ok_or_else(unusable)?;
            Ok((id, AddedToken::described(FILE, token.as_object().ok_or_else(unusable)?, None)?))
        })
        .collect()
}

/// The tokens that the files beside `tokenizer.json` list with ids, by id; a later file replaces a token of the same id.
fn listed(beside: &Beside, stored: &[(u64, AddedToken)]) -> Result<BTreeMap<u64, AddedToken>> {
    const FILE: &str = "tokenizer_config.json";
    let unusable = |file| move || Error::ModelFormat(format!("{file} does not list tokens by their ids"));
    let mut listed = BTreeMap::new();
    if let Some(table) = beside.config.get("added_tokens_decoder") {
        for (id, token) in table.as_object().ok_or_else(unusable(FILE))? {
            let token = AddedToken::described(FILE, token.as_object().ok_or_else(unusable(FILE))?, None)?;
            listed.insert(id.parse().map_err(|_| unusable(FILE)())?, token);
        }
        return Ok(listed);
    }
    let special = named_special_tokens(beside)?;
    let special: HashSet<&str> = special.iter().map(|(_, named)| named.content()).collect();
    for (content, id) in &beside.added_tokens {
        let special = special.contains(&**content);
        let token = AddedToken { normalized: Some(!special), ..AddedToken::plain(content, special) };
        listed.insert(id.as_u64().ok_or_else(unusable("added_tokens.json"))?, token);
    }
    listed.extend(stored.iter().cloned());
    Ok(listed)
}

/// The special tokens of all roles, and further ones.
fn special_tokens(
    tokenizer: &Value,
    beside: &Beside,
    class: Class,
    listed: &BTreeMap<u64, AddedToken>,
) -> Result<Vec<(&'static str, Named)>> {
    let mut named = named_special_tokens(beside)?;
    for (role, named) in named.iter_mut().filter(|(role, _)| ROLES.contains(role)) {
        let flags = listed.values().rev().find(|token| token.content == named.content());
        *named = flags.map_or_else(|| class.flagged(role, named.clone()), |token| Named::Token(token.clone()));
    }
    // What `tokenizer.json` was saved to pad with.
    if let Some(pad) = tokenizer["padding"]["pad_token"].as_str()
        && !named.iter().any(|(role, _)| *role == "pad_token")
    {
        named.push(("pad_token", Named::Text(pad.to_owned())));
    }
    let mut all: Vec<(&'static str, Named)> = Vec::new();
    for role in ROLES {
        let given = named.iter().rfind(|(of, _)| *of == role).map(|(_, named)| named.clone());
        all.extend(given.or_else(|| class.default_token(role)).map(|named| (role, named)));
    }
    for key in MORE {
        // Within one list the last of equal tokens counts.
        let known: HashSet<String> = all.iter().map(|(_, named)| named.content().to_owned()).collect();
        all.extend(named.iter().filter(|(of, named)| *of == key && !known.contains(named.content())).cloned());
    }
    Ok(all)
}

/// Special tokens by role, as the files name them, then further ones. `special_tokens_map.json` counts where
/// `tokenizer_config.json` does not list tokens by id.
fn named_special_tokens(beside: &Beside) -> Result<Vec<(&'static str, Named)>> {
    let config = ("tokenizer_config.json", &beside.config, None);
    let map = ("special_tokens_map.json", &beside.special_tokens_map, Some(true));
    let files = if beside.config.contains_key("added_tokens_decoder") { vec![config] } else { vec![config, map] };
    let mut all = Vec::new();
    for key in ROLES.into_iter().chain(MORE) {
        for (file, values, special) in &files {
            let values: Vec<&Value> = match values.get(key) {
                None | Some(Value::Null) => continue,
                Some(one) if ROLES.contains(&key) => vec![one],
                Some(Value::Array(tokens)) => tokens.iter().collect(),
                Some(Value::Object(tokens)) => tokens.values().collect(),
                Some(_) => return Err(Error::ModelFormat(format!("{file}: {key} is not a list of tokens"))),
            };
            for value in values {
                all.push((key, Named::read(file, value, *special)?));
            }
        }
    }
    Ok(all)
}

impl Class {
    /// The token that has a role where no file names one.
    fn default_token(self, role: &str) -> Option<Named> {
        let bert = [None, None, Some("[UNK]"), Some("[SEP]"), Some("[PAD]"), Some("[CLS]"), Some("[MASK]")];
        let roberta = ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"].map(Some);
        let mpnet = ["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"].map(Some);
        let texts = match self {
            Self::Bert | Self::DistilBert => bert,
            Self::MpNet => mpnet,
            Self::Roberta | Self::Camembert | Self::XlmRoberta => roberta,
            Self::Generic | Self::AsStored => return None,
        };
        let place = ROLES.iter().position(|one| *one == role)?;
        texts[place].map(|text| self.flagged(role, Named::Text(text.into())))
    }

    /// The flags that the class gives a special token that is named by its text alone.
    fn flagged(self, role: &str, named: Named) -> Named {
        match (self, named) {
            (Self::MpNet | Self::Roberta | Self::Camembert | Self::XlmRoberta, Named::Text(text))
                if role == "mask_token" =>
            {
                Named::Token(AddedToken { lstrip: true, ..AddedToken::plain(&text, true) })
            }
            (Self::MpNet, Named::Text(text)) => Named::Token(AddedToken::plain(&text, true)),
            (_, named) => named,
        }
    }
}
