//! The tokenizer on the repository's tiny checkpoints. Parity with other implementations is the Python tests' affair.

use std::path::{Path, PathBuf};

use bge_fast::Error;
use bge_fast::tokenizer::{Around, Tokenizer};

fn checkpoint(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints").join(name)
}

fn tokenizers() -> [Tokenizer; 3] {
    ["tiny-bert", "tiny-xlmr", "tiny-roberta"]
        .map(|name| Tokenizer::open(&checkpoint(name)).expect("the fixture opens"))
}

const LONG: &str = "the boundary layer of a wing in supersonic flow, 机翼, Größe, </s> [SEP] <mask> and so on";

#[test]
fn cuts_the_text_and_keeps_the_special_tokens() {
    for tokenizer in tokenizers() {
        let whole = tokenizer.encode(LONG, usize::MAX).expect("encodes");
        assert!(!whole.truncated());
        let (first, last) = (whole.ids[0], whole.ids[whole.ids.len() - 1]);
        for length in [2, 3, 7, whole.total - 1] {
            let cut = tokenizer.encode(LONG, length).expect("encodes");
            assert!(cut.truncated());
            assert_eq!(cut.total, whole.total);
            assert_eq!(cut.ids.len(), length);
            assert_eq!(cut.ids[..length - 1], whole.ids[..length - 1]);
            assert_eq!(cut.ids[length - 1], last);
        }
        for length in [0, 1] {
            assert_eq!(tokenizer.encode(LONG, length).expect("encodes").ids, [first, last]);
        }
    }
}

#[test]
fn many_threads_with_their_own_lengths_share_one() {
    for tokenizer in tokenizers() {
        let whole = tokenizer.encode(LONG, usize::MAX).expect("encodes").ids.len();
        std::thread::scope(|scope| {
            for length in 2..18 {
                let tokenizer = &tokenizer;
                scope.spawn(move || {
                    for _ in 0..500 {
                        let ids = tokenizer.encode(LONG, length).expect("encodes").ids;
                        assert_eq!(ids.len(), length.min(whole));
                    }
                });
            }
        });
    }
}

#[test]
fn many_texts_come_back_in_order_on_any_number_of_threads() {
    let texts: Vec<String> = (0..333).map(|i| format!("{i} {}", LONG.repeat(i % 3))).collect();
    for tokenizer in tokenizers() {
        let serial: Vec<_> = texts.iter().map(|text| tokenizer.encode(text, 40).expect("encodes")).collect();
        for threads in [1, 2, 5] {
            assert_eq!(tokenizer.encode_many(&texts, 40, threads).expect("encodes"), serial);
        }
    }
}

#[test]
fn ids_and_tokens_are_each_others_inverse() {
    for tokenizer in tokenizers() {
        for id in 0..tokenizer.size() {
            let token = tokenizer.token(id).expect("every id has a token");
            assert_eq!(tokenizer.id(&token), Some(id), "{token}");
        }
        assert_eq!(tokenizer.token(tokenizer.size()), None);
    }
}

#[test]
fn says_what_is_wrong_with_a_file() {
    assert!(matches!(Tokenizer::open(Path::new("/nowhere")), Err(Error::ModelNotFound(_))));
    assert!(matches!(Tokenizer::from_json("{", "{}"), Err(Error::ModelFormat(_))));
    assert!(matches!(Tokenizer::from_json("{}", "{}"), Err(Error::ModelFormat(_))));
    assert!(matches!(Tokenizer::from_json("[]", "{}"), Err(Error::ModelFormat(_))));
}

fn tiny_bert(change: impl FnOnce(&mut serde_json::Value), config: &str) -> Result<Tokenizer, Error> {
    let text = std::fs::read_to_string(checkpoint("tiny-bert").join("tokenizer.json")).expect("the fixture is there");
    let mut stored = serde_json::from_str(&text).expect("it is JSON");
    change(&mut stored);
    Tokenizer::from_json(&stored.to_string(), config)
}

#[test]
fn tokens_that_the_configuration_lists_are_found() {
    let config = r#"{"added_tokens_decoder": {"3000": {"content": "<TERM>", "special": true}}}"#;
    let tokenizer = tiny_bert(|_| {}, config).expect("opens");
    let plain = tiny_bert(|_| {}, "{}").expect("opens");
    let ids = |tokenizer: &Tokenizer, text: &str| tokenizer.content(text).expect("encodes");
    assert_eq!(ids(&tokenizer, "wing<TERM>flow"), [ids(&plain, "wing"), vec![3000], ids(&plain, "flow")].concat());
    assert_eq!((tokenizer.id("<TERM>"), tokenizer.token(3000)), (Some(3000), Some("<TERM>".into())));
}

#[test]
fn the_side_of_a_stored_truncation_counts_and_its_length_does_not() {
    let left = |stored: &mut serde_json::Value| {
        stored["truncation"] = serde_json::json!({"direction": "Left", "max_length": 3});
    };
    let (cut, plain) = (tiny_bert(left, "{}").expect("opens"), tiny_bert(|_| {}, "{}").expect("opens"));
    let all = plain.encode(LONG, usize::MAX).expect("encodes").ids;
    assert_eq!(cut.encode(LONG, usize::MAX).expect("encodes").ids, all);
    assert_eq!(cut.encode(LONG, 6).expect("encodes").ids[1..], all[all.len() - 5..]);
}

#[test]
fn what_is_unknown_or_out_of_bounds_is_refused() {
    let scripts = tiny_bert(|stored| stored["pre_tokenizer"] = serde_json::json!({"type": "UnicodeScripts"}), "{}");
    assert!(matches!(scripts, Err(Error::UnsupportedModel(reason)) if reason.contains("UnicodeScripts")));
    let huge = tiny_bert(|stored| stored["model"]["vocab"]["zz"] = serde_json::json!(1_000_000_000), "{}");
    assert!(matches!(huge, Err(Error::ModelFormat(reason)) if reason.contains("zz")));
}

#[test]
fn queries_with_examples_become_text_between_two_cuts() {
    let tokenizer = Tokenizer::open(&checkpoint("decoder-mistral")).expect("the fixture opens");
    let pieces = |ids: &[u32]| ids.iter().map(|&id| tokenizer.token(id).expect("known")).collect::<Vec<_>>();
    let around = Around::new(&tokenizer, "", "\n<response>").expect("both are texts");
    let ids = around.encode(&tokenizer, "<instruct>a", 512).expect("encodes").ids;
    // Behind an added token the decoder puts a space, and the normalizer one more.
    assert_eq!(pieces(&ids), ["<s>", "<instruct>", "▁", "▁a", "<0x0A>", "<response>", "</s>"]);
    let cut = around.encode(&tokenizer, "热", 7).expect("encodes");
    // Two of a character's three bytes are left, and each becomes U+FFFD, which has three.
    assert_eq!(pieces(&cut.ids)[1..4], ["▁", "<0xEF>", "<0xBF>"]);
    assert!(cut.truncated());
    let refused = around.encode(&tokenizer, "", 4).expect_err("there is no room");
    assert!(matches!(refused, Error::Value(reason) if reason.contains("5 tokens are left free")));
}
