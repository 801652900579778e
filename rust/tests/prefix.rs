//! Of a long text only the beginning is tokenized; the ids must be those of the whole text, whatever stands in it.

use std::path::{Path, PathBuf};

use bge_fast::tokenizer::Tokenizer;
use serde_json::{Value, json};

const PIECES: [&str; 46] = [
    " ",
    " ",
    " ",
    " ",
    " ",
    " ",
    "\n",
    "\n",
    "  ",
    "\r\n",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\u{200b}",
    "\u{200d}",
    "\u{301}",
    "\u{3099}",
    "\u{1161}",
    "\u{fe0f}",
    "\u{0}",
    "\u{2581}",
    "the",
    "wing",
    "Flow",
    "boundary-layer",
    "it's",
    "x1y2",
    "naïve",
    "É",
    "ΣΑΣ",
    "机翼",
    "流",
    "か",
    "が",
    "한",
    "ᄀ",
    "ไท",
    "👨‍👩‍👧",
    "🇩🇪",
    "ﬁ½①",
    "，。",
    "[SEP]",
    "</s>",
    "<mask>",
    "[MASK]",
    "¨",
];

fn checkpoint(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints").join(name)
}

/// The tokenizer of a checkpoint after a change of its file.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> Tokenizer {
    let read = |file: &str| std::fs::read_to_string(checkpoint(name).join(file)).expect("the fixture is there");
    let mut stored = serde_json::from_str(&read("tokenizer.json")).expect("it is JSON");
    change(&mut stored);
    Tokenizer::from_json(&stored.to_string(), &read("tokenizer_config.json")).expect("opens")
}

fn as_stored(name: &str) -> Tokenizer {
    Tokenizer::open(&checkpoint(name)).expect("opens")
}

/// Numbers that look random, always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    /// A text of some of the pieces, many of them in a row.
    fn text(&mut self, pieces: usize) -> String {
        let alphabet: Vec<&str> = (0..=self.below(12)).map(|_| PIECES[self.below(PIECES.len())]).collect();
        (0..pieces).map(|_| if self.below(4) == 0 { " " } else { alphabet[self.below(alphabet.len())] }).collect()
    }
}

/// Compares beginnings with whole texts; how often less than the whole was tokenized.
fn compare(tokenizer: &Tokenizer, texts: usize) -> usize {
    let mut random = Random(7);
    let mut saved = 0;
    for _ in 0..texts {
        let pieces = 500 + random.below(4000);
        let text = random.text(pieces);
        let whole = tokenizer.content(&text).expect("encodes");
        for length in [0, 1 + random.below(20), random.below(300)] {
            let part = tokenizer.content_up_to(&text, length).expect("encodes");
            assert!(part.len() > length || part.len() == whole.len(), "{length}: {text:?}");
            assert_eq!(part, whole[..part.len()], "{length}: {text:?}");
            saved += usize::from(part.len() < whole.len());
            let (cut, all) = (tokenizer.encode(&text, length).expect("encodes"), whole.len());
            assert_eq!(cut.truncated(), tokenizer.encode("", length).expect("encodes").ids.len() + all > cut.ids.len());
        }
    }
    saved
}

#[test]
fn the_beginning_of_a_text_has_the_ids_of_the_whole_text() {
    for name in ["tiny-bert", "tiny-xlmr", "tiny-roberta", "tiny-camembert", "tiny-mpnet"] {
        let saved = compare(&as_stored(name), 300);
        assert!(saved > 200, "{name}: the rule served {saved} times");
    }
}

#[test]
fn so_it_has_with_other_parts() {
    let sequence = json!({"type": "Sequence", "pretokenizers": [
        {"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always"},
    ]});
    let as_published = changed("tiny-xlmr", |file| file["pre_tokenizer"] = sequence);
    assert!(compare(&as_published, 300) > 200);
    let composed = json!({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]});
    let generic = changed("tiny-xlmr", |file| file["normalizer"] = composed);
    assert!(compare(&generic, 300) > 200);
}

#[test]
fn a_token_of_several_words_is_never_torn() {
    let spanning = |content: &str| {
        let token = json!({"id": 3000, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": false});
        changed("tiny-bert", move |file| file["added_tokens"].as_array_mut().expect("a list").push(token))
    };
    for content in ["the wing", "机翼"] {
        assert_eq!(compare(&spanning(content), 100), 0, "{content}");
    }
}

#[test]
fn where_texts_are_cut_on_the_left_their_end_counts() {
    let left = changed("tiny-bert", |file| file["truncation"] = json!({"direction": "Left"}));
    let text = "wing flow ".repeat(5000);
    assert_eq!(left.content_up_to(&text, 8).expect("encodes"), left.content(&text).expect("encodes"));
}
