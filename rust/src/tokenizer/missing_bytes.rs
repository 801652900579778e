//! Byte-level vocabularies without a token for some bytes: where there is no unknown token, such bytes of a text give no token.
//!
//! The crate `tokenizers` refuses these files, so it gets tokens that stand in for the bytes, and their ids are left out again.

use serde_json::{Map, Value};

/// Adds a token for each byte that a byte-level BPE vocabulary lacks, behind `added` more that are to come; gives the first of their
/// ids, where there are any.
pub(super) fn stand_in(tokenizer: &mut Value, added: usize) -> Option<u32> {
    let byte_level = is_byte_level(&tokenizer["pre_tokenizer"]) || is_byte_level(&tokenizer["normalizer"]);
    let model = &mut tokenizer["model"];
    if !byte_level || !model["unk_token"].is_null() {
        return None;
    }
    let vocabulary: &mut Map<String, Value> = model["vocab"].as_object_mut()?;
    let missing: Vec<String> = letters().map(String::from).filter(|letter| !vocabulary.contains_key(letter)).collect();
    let highest = vocabulary.values().filter_map(Value::as_u64).max()?;
    let first = highest + 1 + u64::try_from(added).ok()?;
    if missing.is_empty() {
        return None;
    }
    for (letter, id) in missing.into_iter().zip(first..) {
        vocabulary.insert(letter, id.into());
    }
    u32::try_from(first).ok()
}

fn is_byte_level(part: &Value) -> bool {
    let parts = ["pretokenizers", "normalizers"].iter().filter_map(|key| part[*key].as_array()).flatten();
    part["type"] == "ByteLevel" || parts.into_iter().any(is_byte_level)
}

/// The letters that stand for bytes, as GPT-2 has them: themselves where they can be printed, else those from 256 on.
fn letters() -> impl Iterator<Item = char> {
    let others = (0..256).filter(|byte| !is_printed(*byte)).zip(256..).map(|(_, letter)| letter);
    (0..256).filter(|&byte| is_printed(byte)).chain(others).filter_map(char::from_u32)
}

fn is_printed(byte: u32) -> bool {
    matches!(byte, 33..=126 | 161..=172 | 174..=255)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let letters: std::collections::HashSet<char> = letters().collect();
        assert_eq!(letters.len(), 256);
        assert!(letters.contains(&'Ġ') && letters.contains(&'Ċ') && letters.contains(&'Ń') && !letters.contains(&' '));
    }

    #[test]
    fn only_what_is_missing_gets_a_token() {
        let model = json!({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []});
        let mut file = json!({"pre_tokenizer": {"type": "ByteLevel"}, "model": model});
        assert_eq!(stand_in(&mut file, 8), Some(10));
        assert_eq!(file["model"]["vocab"].as_object().map(Map::len), Some(256));
        assert_eq!(stand_in(&mut file, 8), None);
        let mut words = json!({"pre_tokenizer": {"type": "Whitespace"}, "model": file["model"]});
        assert_eq!(stand_in(&mut words, 0), None);
    }
}
