//! `SentencePiece`'s table of normalized characters: a double-array trie over the bytes of what is replaced, then the
//! replacements, each ended by a zero.
//!
//! Its reader trusts it, so every step it can take is checked before.

use serde_json::Value;

use crate::{Error, Result};

/// The longest one of `SentencePiece`'s own tables has 33 bytes.
const MAX_REPLACEMENT: usize = 64;

/// Sees that no unit of the trie leads out of it, and that every value is the place of a replacement.
///
/// # Errors
/// [`Error::ModelFormat`] for any other table.
pub(super) fn check(charsmap: &Value) -> Result<()> {
    let broken = || Error::ModelFormat("tokenizer.json cannot be used: its precompiled_charsmap is broken".into());
    let bytes = charsmap.as_str().and_then(decoded).ok_or_else(broken)?;
    if sound(&bytes).is_some() { Ok(()) } else { Err(broken()) }
}

fn sound(bytes: &[u8]) -> Option<()> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
    let (trie, replacements) = rest.split_at_checked(size / 4 * 4)?;
    let replacements = std::str::from_utf8(replacements).ok()?;
    let units: Vec<usize> = trie
        .chunks_exact(4)
        .filter_map(|unit| usize::try_from(u32::from_le_bytes(unit.try_into().ok()?)).ok())
        .collect();
    let is_value = |unit: usize| unit >> 31 == 1;
    for (place, &unit) in units.iter().enumerate().filter(|(_, unit)| !is_value(**unit)) {
        let next = place ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6));
        // The next byte of a key is the place in a block of 256.
        units.get(next | 0xff)?;
        if unit >> 8 & 1 == 1 {
            let replacement = replacements.get(units[next] & ((1 << 31) - 1)..)?;
            let length = replacement.find('\0').unwrap_or(replacement.len());
            (length <= MAX_REPLACEMENT).then_some(())?;
        }
    }
    (!units.is_empty()).then_some(())
}

/// The bytes of standard base64 with its padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut values = [None; 256];
    for (value, &digit) in (0_u32..).zip(DIGITS) {
        values[usize::from(digit)] = Some(value);
    }
    let value = |digit: u8| values[usize::from(digit)];
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().try_fold(0, |bits, &digit| Some(bits << 6 | value(digit)?))? << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with its padding.
pub(super) fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(padded);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 0x3f) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
