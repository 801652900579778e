//! torch's format before 1.6: four small pickles (a number that marks the file, the protocol, the machine, the dictionary), a pickled list
//! of the storages' keys, and the storages one after the other, each behind its count of elements.

use std::collections::HashMap;

use super::MAX_PICKLE;
use super::view::located;
use crate::weights::pickle::{self, View};
use crate::weights::stored::{Stored, shown};

/// The number that marks the file, from its second opcode on.
const MARK: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// Bytes of an element count.
const COUNT: usize = 8;

/// Whether a file of these bytes means to be torch's old format.
pub(in crate::weights) fn is_legacy(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(32)];
    start.windows(MARK.len()).any(|window| window == MARK)
}

/// The tensors of a file. Errors say what is wrong with it.
pub(super) fn tensors(bytes: &[u8]) -> Result<Vec<Stored>, String> {
    // A copy, which nobody changes while it is read.
    let pickles = bytes[..bytes.len().min(MAX_PICKLE)].to_vec();
    let mark = pickles.iter().position(|&byte| byte == b'.').map_or(0, |end| end + 1);
    let rest = pickle::skip(pickle::skip(&pickles[mark..])?)?;
    let (views, rest) = pickle::tensors(rest)?;
    let (keys, rest) = pickle::texts(rest)?;
    let storages = storages(bytes, pickles.len() - rest.len(), &keys, &views)?;
    let locate = |(name, view): (&str, View<'_>)| {
        let failed = |why: String| format!("its tensor {}: {why}", shown(name));
        let &(start, length) = storages.get(view.storage.key).ok_or_else(|| failed("it has no storage".to_owned()))?;
        located(name, &view, start, length).map_err(failed)
    };
    views.into_iter().map(locate).collect()
}

/// Start and length of each storage by its key.
fn storages<'a>(
    bytes: &[u8],
    mut place: usize,
    keys: &[&'a str],
    views: &[(&str, View<'_>)],
) -> Result<HashMap<&'a str, (u64, u64)>, String> {
    let sizes: HashMap<&str, u64> = views.iter().map(|(_, view)| (view.storage.key, view.storage.element.1)).collect();
    let mut storages = HashMap::with_capacity(keys.len());
    for &key in keys {
        let cut_off = || "it is cut off. Download it again".to_owned();
        let count = bytes.get(place..place + COUNT).and_then(|count| count.first_chunk()).ok_or_else(cut_off)?;
        let Some(size) = sizes.get(key) else {
            return Err(format!("its storage {} belongs to no tensor, so what follows cannot be found", shown(key)));
        };
        let start = place + COUNT;
        let length = u64::from_le_bytes(*count).checked_mul(*size).ok_or_else(cut_off)?;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        place = end.filter(|&end| end <= bytes.len()).ok_or_else(cut_off)?;
        storages.insert(key, (start as u64, length));
    }
    Ok(storages)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use crate::weights::pickle::tests::{Sample, legacy_state_dict};

    /// A file of two float32 tensors, of which the second lies in columns.
    fn file() -> Vec<u8> {
        let mut turned = Sample::new("turned", &[2, 3]);
        (turned.key, turned.strides[0], turned.strides[1]) = ("1", 1, 2);
        let keys = b"\x80\x02]q\x00(X\x01\x00\x00\x000X\x01\x00\x00\x001e.";
        let storage = |count: u16| {
            let numbers: Vec<u8> = (0..count).flat_map(|number| f32::from(number).to_le_bytes()).collect();
            [&u64::from(count).to_le_bytes()[..], &numbers].concat()
        };
        let start = [b"\x80\x02", MARK, b".\x80\x02M\xe9\x03.\x80\x02}q\x00."].concat();
        let pickle = legacy_state_dict(&[Sample::new("plain", &[4]), turned]);
        [&start[..], &pickle, keys, &storage(4), &storage(6)].concat()
    }

    #[test]
    fn storages_follow_the_pickles() {
        let bytes = file();
        assert!(is_legacy(&bytes));
        let stored = tensors(&bytes).unwrap();
        let place = usize::try_from(stored[0].offset).unwrap();
        assert_eq!(bytes[place + 4..][..4], 1f32.to_le_bytes());
        assert_eq!((stored[0].length, stored[1].length), (16, 24));
        assert_eq!((stored[1].offset, &stored[1].strides), (stored[0].offset + 16 + 8, &Some(vec![1, 2])));
    }

    #[test]
    fn a_file_that_is_cut_off_or_changed_is_refused_or_lies_inside_itself() {
        let bytes = file();
        for length in MARK.len() + 3..bytes.len() {
            assert!(tensors(&bytes[..length]).is_err(), "cut at {length}");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0xff;
            for tensor in tensors(&changed).unwrap_or_default() {
                assert!(tensor.offset + tensor.length <= bytes.len() as u64, "byte {place}");
            }
        }
    }
}
