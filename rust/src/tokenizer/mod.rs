//! Texts → token ids.
//!
//! Immutable: the length to cut at is an argument of each call, so threads can share one tokenizer.

mod added;
mod around;
mod build;
mod charsmap;
mod class;
mod components;
mod declared;
mod files;
mod frame;
mod missing_bytes;
mod pipeline;
mod prefix;
mod prompt;
mod threads;

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

pub use self::around::Around;
use self::declared::Declared;
use self::files::{Beside, parse, read};
use self::frame::Frame;
pub use self::frame::Tokens;
use self::pipeline::Pipeline;
pub use self::prompt::Prompt;
use self::threads::on_threads;
use crate::{Error, Result};

/// A checkpoint's tokenizer: `tokenizer.json` with what the files beside it say on top.
pub struct Tokenizer {
    pipeline: Pipeline,
    single: Frame,
    pair: Frame,
    /// Whether there are token types, and whether the second text of a pair has type 1.
    types: (bool, bool),
    special: Vec<(&'static str, String)>,
    cut_left: bool,
    cleans_up: bool,
    ids_by_token: OnceLock<HashMap<String, u32>>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and the files beside it that say more about tokens. Without it, BERT's is built of `vocab.txt` and
    /// XLM-R's of `sentencepiece.bpe.model`.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] without any of these; [`Error::ModelFormat`] for a file that is no tokenizer and
    /// [`Error::UnsupportedModel`] for one that asks for something unknown, both with the folder.
    pub fn open(folder: &Path) -> Result<Self> {
        let opened = Beside::read(folder).and_then(|beside| {
            let (tokenizer, file_size) = match read(&folder.join("tokenizer.json"))? {
                Some(stored) => (parse("tokenizer.json", &stored)?, stored.len()),
                None => build::tokenizer(folder, &beside)?.ok_or_else(|| missing(folder))?,
            };
            Self::build(tokenizer, file_size, &beside)
        });
        opened.map_err(|error| match error {
            Error::ModelFormat(reason) => Error::ModelFormat(format!("{}: {reason}", folder.display())),
            Error::UnsupportedModel(reason) => Error::UnsupportedModel(format!("{}: {reason}", folder.display())),
            other => other,
        })
    }

    /// Builds the tokenizer from the text of `tokenizer.json` and of `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`Error::ModelFormat`] for a text that is no tokenizer.
    pub fn from_json(tokenizer: &str, config: &str) -> Result<Self> {
        let config = parse("tokenizer_config.json", config)?;
        let beside = Beside { config, ..Beside::default() };
        Self::build(parse("tokenizer.json", tokenizer)?, tokenizer.len(), &beside)
    }

    fn build(mut tokenizer: Value, file_size: usize, beside: &Beside) -> Result<Self> {
        components::check(&tokenizer, file_size)?;
        let class = beside.class();
        let cut_left = beside.cuts_left(&tokenizer)?;
        class.override_normalizer(&mut tokenizer, &beside.config)?;
        let declared = Declared::read(&tokenizer, beside, class)?;
        let prefix_space = class::take_prefix_space(&mut tokenizer, &beside.config)?;
        let pipeline = Pipeline::new(tokenizer, declared.added, prefix_space)?;
        pipeline.try_out()?;
        let (templates, bare_pairs) = (pipeline.templates(), class.leaves_pairs_bare(&beside.config)?);
        Ok(Self {
            single: Frame::new(&templates.single),
            pair: if bare_pairs { Frame::bare(&templates.pair) } else { Frame::new(&templates.pair) },
            types: (class.types(&beside.config)?, class.types_pairs(&beside.config, templates.pair.b_type_id)?),
            special: declared.special,
            cut_left,
            cleans_up: class::flag(&beside.config, "clean_up_tokenization_spaces")?.unwrap_or(false),
            ids_by_token: OnceLock::new(),
            pipeline,
        })
    }

    /// Ids of `text` with special tokens, cut to `max_length`; the special tokens alone where `max_length` has no room for more.
    ///
    /// # Errors
    /// [`Error::Value`] for a text of over 4 GiB.
    pub fn encode(&self, text: &str, max_length: usize) -> Result<Tokens> {
        let room = max_length.saturating_sub(self.single.room);
        let content = self.content_up_to(text, room)?;
        let kept = self.cut(&content, room);
        let ids = [&self.single.before, kept, &self.single.between, &self.single.after].concat();
        Ok(Tokens { first: ids.len(), total: ids.len() + content.len() - kept.len(), ids })
    }

    /// Whether the tokenizer gives token types.
    #[must_use]
    pub fn types(&self) -> bool {
        self.types.0
    }

    /// Whether the second text of a pair has token type 1.
    #[must_use]
    pub fn types_pairs(&self) -> bool {
        self.types.1
    }

    /// Whether texts are cut on the left.
    #[must_use]
    pub fn cuts_left(&self) -> bool {
        self.cut_left
    }

    /// Whether blanks before punctuation are taken out of decoded text.
    #[must_use]
    pub fn cleans_up(&self) -> bool {
        self.cleans_up
    }

    /// Ids before, between and behind the texts of a pair.
    #[must_use]
    pub fn pair_frame(&self) -> [&[u32]; 3] {
        [&self.pair.before, &self.pair.between, &self.pair.after]
    }

    /// Special tokens: each with its role, such as `cls_token`, or the key of the list that names it.
    #[must_use]
    pub fn special_tokens(&self) -> &[(&'static str, String)] {
        &self.special
    }

    /// Tokens that are looked for before the model sees a text, with their ids, and whether each is special.
    pub fn added_tokens(&self) -> impl Iterator<Item = (&str, u32, bool)> {
        self.pipeline.added().iter().map(|(id, token)| (&*token.content, id, token.special))
    }

    /// All tokens with their ids, those added too.
    #[must_use]
    pub fn vocabulary(&self) -> &HashMap<String, u32> {
        self.ids_by_token.get_or_init(|| {
            let mut ids: HashMap<_, _> = (0..self.size()).filter_map(|id| Some((self.token(id)?, id))).collect();
            ids.extend(self.added_tokens().map(|(token, id, _)| (token.to_owned(), id)));
            ids
        })
    }

    /// Ids of a query and a passage with special tokens, from the ids that [`Self::content_up_to`] gives for each. The query has the
    /// first right to `max_length`; of the passage what then fits is kept. All special tokens stay, whatever is empty.
    #[must_use]
    pub fn pair(&self, query: &[u32], passage: &[u32], max_length: usize) -> Tokens {
        let frame = &self.pair;
        let room = max_length.saturating_sub(frame.room);
        let query = self.cut(query, room);
        let kept = self.cut(passage, room - query.len());
        let ids = [&frame.before, query, &frame.between, kept, &frame.after].concat();
        let second = kept.len() + frame.after.len();
        Tokens {
            total: ids.len() + passage.len() - kept.len(),
            first: ids.len() - if self.types_pairs() { second } else { 0 },
            ids,
        }
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
        self.pipeline.ids(text)
    }

    /// The ids of [`Self::content`] that [`Self::cut`] to `length` needs, and one more where there are more: of a long text only
    /// the beginning is tokenized where that gives the same ids.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn content_up_to(&self, text: &str, length: usize) -> Result<Vec<u32>> {
        if self.cut_left { self.content(text) } else { self.pipeline.first_ids(text, length.saturating_add(1)) }
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

    /// [`Self::content_up_to`] for many texts, on up to `threads` threads of its own.
    ///
    /// # Errors
    /// As [`Self::content`].
    pub fn content_many<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        length: usize,
        threads: usize,
    ) -> Result<Vec<Vec<u32>>> {
        on_threads(texts, threads, |text| self.content_up_to(text, length))
    }

    /// Text of `ids`, with or without special tokens.
    ///
    /// # Errors
    /// [`Error::Value`] where the ids are no text.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.pipeline.decode(ids, skip_special_tokens)
    }

    /// The token of an id.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.pipeline.token(id)
    }

    /// The id of a token.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.pipeline.added().id(token).or_else(|| self.vocabulary().get(token).copied())
    }

    /// Number of the model's own tokens.
    #[must_use]
    pub fn model_size(&self) -> u32 {
        self.pipeline.model_size()
    }

    /// Number of ids, added tokens included.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.pipeline.size()
    }
}

fn missing(folder: &Path) -> Error {
    Error::ModelNotFound(format!(
        "{} has no tokenizer.json. With transformers, AutoTokenizer.from_pretrained(folder).save_pretrained(folder) makes one",
        folder.display()
    ))
}
