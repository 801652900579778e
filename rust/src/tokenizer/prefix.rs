//! Where the beginning of a long text can be tokenized alone, with the ids that it has in the whole text.
//!
//! That is so before a space between two words, or between two Chinese characters where the normalizer splits those: what
//! normalizers, splitter and model do on one side of it depends on nothing behind it. Files whose parts do not promise that
//! have no rule.

use serde_json::Value;

use super::components::{REPLACED, flat, name};

/// Places that are tried before more of the text is taken.
const TRIES: usize = 16;

/// How a file's splitter ends words.
#[derive(Clone, Copy)]
pub(super) enum PrefixRule {
    /// At all whitespace.
    Whitespace,
    /// At spaces.
    Spaces,
}

impl PrefixRule {
    /// The rule of a `tokenizer.json`, if its parts allow one.
    pub fn of(tokenizer: &Value) -> Option<Self> {
        let normalizers = flat("normalizer", &tokenizer["normalizer"], "normalizers").ok()?;
        if !normalizers.into_iter().all(looks_at_neighbours_only) {
            return None;
        }
        let splitters = flat("pre_tokenizer", &tokenizer["pre_tokenizer"], "pretokenizers").ok()?;
        match (splitters.as_slice(), name(&tokenizer["model"])) {
            ([one], "WordPiece" | "WordLevel")
                if matches!(name(one), "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit") =>
            {
                Some(Self::Whitespace)
            }
            ([one], "BPE") if name(one) == "ByteLevel" && one["use_regex"] != false => Some(Self::Whitespace),
            ([one], "Unigram") if name(one) == "Metaspace" && one["split"] != false => Some(Self::Spaces),
            ([first, one], "Unigram") if name(first) == "WhitespaceSplit" && marks_words(one) => Some(Self::Spaces),
            _ => None,
        }
    }

    /// The last place in the second half of the first `bytes` of `text` where its beginning can end. `normalized` is what
    /// normalizers make of a few characters.
    pub fn end(self, text: &str, bytes: usize, normalized: impl Fn(&str) -> Option<String>) -> Option<usize> {
        let bytes = (bytes / 2..=bytes).rev().find(|&place| text.is_char_boundary(place))?;
        let places = text[..bytes].char_indices().rev().take_while(|(place, _)| *place >= bytes / 2);
        let candidates = places.filter_map(|(place, before)| {
            let end = place + before.len_utf8();
            let (gap, after) = gap(&text[end..])?;
            let apart = !gap.is_empty() || (is_ideograph(before) && is_ideograph(after));
            (apart && is_steady(before) && is_steady(after)).then_some((end, before, gap, after))
        });
        let mut tried = candidates.take(TRIES);
        tried.find(|&(_, before, gap, after)| self.splits(before, gap, after, &normalized)).map(|(end, ..)| end)
    }

    /// Whether the normalized characters have a space between them, and lose nothing else.
    fn splits(self, before: char, gap: &str, after: char, normalized: impl Fn(&str) -> Option<String>) -> bool {
        let ends_word = |character: char| match self {
            Self::Whitespace => character.is_whitespace(),
            Self::Spaces => character == ' ',
        };
        let both = normalized(&format!("{before}{gap}{after}"));
        let Some((left, both)) = normalized(&before.to_string()).zip(both) else { return false };
        let Some(right) = both.strip_prefix(&*left) else { return false };
        let apart = left.ends_with(ends_word) || right.starts_with(ends_word);
        apart && !left.trim().is_empty() && !right.trim().is_empty()
    }
}

/// Whether what a normalizer makes of a character depends on its own word alone.
fn looks_at_neighbours_only(normalizer: &Value) -> bool {
    match name(normalizer) {
        "Replace" => normalizer["pattern"]["Regex"].as_str().is_some_and(|pattern| REPLACED.contains(&pattern)),
        other => other != "Prepend",
    }
}

/// Whether a splitter begins every word with its mark, also where whitespace is thrown away before.
fn marks_words(splitter: &Value) -> bool {
    let always = match splitter["prepend_scheme"].as_str() {
        Some(scheme) => scheme == "always",
        None => splitter["add_prefix_space"] == true,
    };
    name(splitter) == "Metaspace" && splitter["split"] != false && always
}

/// At most one space or line break, and the character behind it.
fn gap(rest: &str) -> Option<(&str, char)> {
    let gap = usize::from(rest.starts_with([' ', '\n']));
    Some((&rest[..gap], rest[gap..].chars().next()?))
}

/// Characters that join nothing before or behind them, in no normal form and no cluster.
fn is_steady(character: char) -> bool {
    matches!(character,
        '!'..='~' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ÿ' | 'Α'..='Ρ' | 'Σ'..='Ω' | 'α'..='ω' | 'А'..='я'
        | '、' | '。' | 'ぁ'..='ゖ' | 'ァ'..='ヺ' | '가'..='힣' | '！' | '，' | '：' | '；' | '？')
        || is_ideograph(character)
}

fn is_ideograph(character: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&character)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn end(text: &str, bytes: usize) -> Option<usize> {
        let splits_chinese = |text: &str| {
            let spaced = |c: char| if is_ideograph(c) { format!(" {c} ") } else { c.to_string() };
            Some(text.chars().map(spaced).collect())
        };
        PrefixRule::Whitespace.end(text, bytes, splits_chinese)
    }

    #[test]
    fn ends_between_words_and_between_chinese_characters() {
        assert_eq!(end("one two three", 9), Some(7));
        assert_eq!(end("one two\nthree", 9), Some(7));
        assert_eq!(end("机翼的流动", 10), Some(9));
        assert_eq!(end("wings of aircraft", 15), Some(8));
    }

    #[test]
    fn ends_nowhere_else() {
        for text in ["onetwothree", "one  two", "one \u{301}two", "one\u{a0}two", "é́ é́", "one\r\ntwo", "one \u{200d}a"]
        {
            assert_eq!(end(text, text.len()), None, "{text:?}");
        }
        assert_eq!(PrefixRule::Spaces.end("one\ntwo", 7, |text| Some(text.into())), None);
        assert_eq!(PrefixRule::Spaces.end("机翼", 6, |text| Some(text.into())), None);
        assert_eq!(PrefixRule::Spaces.end("one two", 7, |text| Some(text.replace(' ', "_"))), None);
    }

    #[test]
    fn files_that_look_further_have_no_rule() {
        let rule = |normalizer: Value, splitter: Value, model: &str| {
            let file = json!({"normalizer": normalizer, "pre_tokenizer": splitter, "model": {"type": model}});
            PrefixRule::of(&file).is_some()
        };
        let bert = json!({"type": "BertPreTokenizer"});
        assert!(rule(Value::Null, bert.clone(), "WordPiece"));
        assert!(!rule(json!({"type": "Replace", "pattern": {"String": "a b"}, "content": "c"}), bert, "WordPiece"));
        assert!(!rule(Value::Null, json!({"type": "Metaspace", "split": false}), "Unigram"));
        assert!(!rule(Value::Null, json!({"type": "ByteLevel", "use_regex": false}), "BPE"));
        assert!(!rule(Value::Null, Value::Null, "Unigram"));
    }
}
