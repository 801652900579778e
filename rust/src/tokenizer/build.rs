//! A `tokenizer.json` in memory, for checkpoints that have only the vocabulary it is made of.

use std::path::Path;

use prost::Message;
use serde_json::{Map, Value, json};

use super::charsmap;
use super::class::Class;
use super::declared::Declared;
use super::files::{Beside, bytes, read};
use crate::{Error, Result};

/// Builds what transformers' class makes of `vocab.txt` or `sentencepiece.bpe.model`, and tells the size of that; `None` where
/// the class has no such file, or the folder does not have it.
pub(super) fn tokenizer(folder: &Path, beside: &Beside) -> Result<Option<(Value, usize)>> {
    match beside.class() {
        class @ (Class::Bert | Class::DistilBert) => {
            let text = read(&folder.join("vocab.txt"))?;
            text.map(|text| Ok((word_pieces(&text, beside, class)?, text.len()))).transpose()
        }
        Class::XlmRoberta => {
            let model = bytes(&folder.join("sentencepiece.bpe.model"))?;
            model.map(|model| Ok((sentence_pieces(&model)?, model.len()))).transpose()
        }
        _ => Ok(None),
    }
}

fn word_pieces(text: &str, beside: &Beside, class: Class) -> Result<Value> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let tokens = text.strip_suffix('\n').unwrap_or(&text).split('\n');
    let vocabulary: Map<String, Value> = tokens.zip(0_u32..).map(|(token, id)| (token.to_owned(), id.into())).collect();
    let special = Declared::read(&Value::Null, beside, class)?.special;
    let token = |role: &str| special.iter().find(|(of, _)| *of == role).map_or("", |(_, token)| &**token);
    let piece = |role: &str, kind: u8| json!({"SpecialToken": {"id": token(role), "type_id": kind}});
    let text_piece = |name: &str, kind: u8| json!({"Sequence": {"id": name, "type_id": kind}});
    let table = |role: &str| {
        let id = vocabulary.get(token(role));
        let id = id.ok_or_else(|| Error::ModelFormat(format!("vocab.txt is without the {role} {:?}", token(role))))?;
        Ok(json!({"id": token(role), "ids": [id], "tokens": [token(role)]}))
    };
    let (front, end) = (piece("cls_token", 0), piece("sep_token", 0));
    let mut tables = Map::new();
    for role in ["cls_token", "sep_token"] {
        tables.insert(token(role).to_owned(), table(role)?);
    }
    Ok(json!({
        "version": "1.0",
        "normalizer": null,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [front, text_piece("A", 0), end],
            "pair": [front, text_piece("A", 0), end, text_piece("B", 1), piece("sep_token", 1)],
            "special_tokens": tables,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": token("unk_token"),
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }))
}

/// XLM-R's: fairseq's four tokens in front of the pieces, in place of `SentencePiece`'s own three, and the mask behind them.
fn sentence_pieces(model: &[u8]) -> Result<Value> {
    const UNIGRAM: i32 = 1;
    const CONTROL: i32 = 3;
    const USER_DEFINED: i32 = 4;
    let unusable = |why: &str| Error::ModelFormat(format!("sentencepiece.bpe.model cannot be used: {why}"));
    let model = SentencePieceModel::decode(model).map_err(|error| unusable(&error.to_string()))?;
    if model.trainer.as_ref().and_then(|trainer| trainer.model_type).unwrap_or(UNIGRAM) != UNIGRAM {
        return Err(Error::UnsupportedModel("sentencepiece.bpe.model: only the model Unigram is supported".into()));
    }
    let pieces = model.pieces.get(3..).ok_or_else(|| unusable("it has fewer than three pieces"))?;
    let first = ["<s>", "<pad>", "</s>", "<unk>"].map(|piece| json!([piece, 0.0]));
    let own = pieces.iter().map(|piece| json!([piece.text, f64::from(piece.score)]));
    let vocabulary: Vec<Value> = first.into_iter().chain(own).chain([json!(["<mask>", 0.0])]).collect();
    let looked_for = (0_u32..).zip(&model.pieces).filter(|(_, piece)| [CONTROL, USER_DEFINED].contains(&piece.kind()));
    let added: Vec<Value> = looked_for
        .map(|(id, piece)| json!({"id": id, "content": piece.text, "normalized": false, "special": piece.kind() == CONTROL}))
        .collect();
    let blanks = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u{2581}"});
    let ends = json!({"type": "Strip", "strip_left": false, "strip_right": true});
    let characters = model.normalizer.map(|normalizer| normalizer.precompiled_charsmap).unwrap_or_default();
    let characters = (!characters.is_empty())
        .then(|| json!({"type": "Precompiled", "precompiled_charsmap": charsmap::encoded(&characters)}));
    let normalizers: Vec<Value> = characters.into_iter().chain([ends, blanks]).collect();
    let words = json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true});
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": words,
        "post_processor": {"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]},
        "decoder": words,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": false},
    }))
}

/// The part of `sentencepiece_model.proto` that a tokenizer needs.
#[derive(Clone, PartialEq, Message)]
struct SentencePieceModel {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<Normalizer>,
}

#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(float, tag = "2")]
    score: f32,
    #[prost(int32, optional, tag = "3")]
    r#type: Option<i32>,
}

impl Piece {
    fn kind(&self) -> i32 {
        self.r#type.unwrap_or(1)
    }
}

#[derive(Clone, PartialEq, Message)]
struct Trainer {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Normalizer {
    #[prost(bytes = "vec", tag = "2")]
    precompiled_charsmap: Vec<u8>,
}
