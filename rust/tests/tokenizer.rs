//! The tokenizer on the repository's tiny checkpoints. Parity with other implementations is the Python tests' affair.

use std::path::{Path, PathBuf};

use bge_fast::Error;
use bge_fast::tokenizer::Tokenizer;

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
