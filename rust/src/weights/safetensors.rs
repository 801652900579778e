//! The header of a safetensors file, checked; the tensors behind it stay where they are.

use std::collections::HashSet;
use std::fmt;

use safetensors::Dtype as Kind;
use safetensors::tensor::Metadata;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::stored::{Dtype, MAX_TENSORS, Stored, no_weight, shown};
use crate::error::{Error, Result};

/// Bytes of the header's length.
const PREFIX: usize = 8;
/// Bytes of a header. The format allows 100 MB; an encoder's takes some 50 kB.
const MAX_HEADER: u64 = 16 << 20;

/// Whether a file of these bytes means to be safetensors.
pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
    // A header's length in eight bytes, the upper ones zero, then the brace that opens the header.
    matches!(bytes, [_, _, _, _, _, 0, 0, 0, b'{', ..])
}

/// The tensors of the file `name`.
pub(crate) fn tensors(name: &str, bytes: &[u8]) -> Result<Vec<Stored>> {
    let refused = |why: &str| {
        Error::ModelFormat(format!("{name} is not a sound safetensors file: {why}. Download it or save it again"))
    };
    let (header, data) = split(bytes).map_err(|why| refused(&why))?;
    // A copy, which nobody changes while it is read.
    let header = header.to_vec();
    serde_json::from_slice::<Names>(&header).map_err(|error| refused(&shown(&error.to_string())))?;
    // Not `SafeTensors::read_metadata`: its last sum overflows for offsets near 2⁶⁴, which panics in a debug build.
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| refused(&shown(&error.to_string())))?;
    if metadata.data_len() != data.len() {
        let (told, found) = (metadata.data_len(), data.len());
        return Err(refused(&format!("its header tells of {told} bytes of tensors and it has {found}")));
    }
    let start = PREFIX + header.len();
    let stored = metadata.tensors().into_iter().map(|(name, info)| {
        let (from, to) = info.data_offsets;
        Stored {
            name,
            dtype: match info.dtype {
                Kind::F32 => Ok(Dtype::F32),
                Kind::F64 => Ok(Dtype::F64),
                Kind::F16 => Ok(Dtype::F16),
                Kind::BF16 => Ok(Dtype::Bf16),
                kind => Err(no_weight(&kind.to_string())),
            },
            kind: info.dtype.to_string(),
            shape: info.shape.clone(),
            strides: None,
            offset: (start + from) as u64,
            length: (to - from) as u64,
        }
    });
    Ok(stored.collect())
}

/// The header's JSON and the bytes behind it.
fn split(bytes: &[u8]) -> std::result::Result<(&[u8], &[u8]), String> {
    let (length, rest) = bytes.split_first_chunk::<PREFIX>().ok_or("it is cut off")?;
    let length = u64::from_le_bytes(*length);
    if length > rest.len() as u64 {
        return Err(format!("it is cut off, {} bytes of a header of {length}", rest.len()));
    }
    if length > MAX_HEADER {
        return Err(format!("its header of {length} bytes is longer than {MAX_HEADER}"));
    }
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    rest.split_at_checked(length).ok_or_else(|| "it is cut off".to_owned())
}

/// Checks that no name is there twice and that there are not too many: `Metadata` keeps the last of each.
struct Names;

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Names {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            if names.len() > MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format!("{} is there twice", shown(&name))));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn entry(name: &str, kind: &str, shape: &str, from: u64, to: u64) -> String {
        format!(r#""{name}":{{"dtype":"{kind}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    }

    #[test]
    fn offsets_count_from_the_start_of_the_file() {
        let header = format!("{{{},{}}}", entry("b", "I64", "[1]", 4, 12), entry("a", "F16", "[2]", 0, 4));
        let mut stored = tensors("m", &file(&header, 12)).unwrap();
        stored.sort_by(|left, right| left.name.cmp(&right.name));
        let [a, b] = &stored[..] else { panic!("two tensors") };
        let start = 8 + header.len() as u64;
        assert_eq!((a.dtype.clone(), a.offset, a.length), (Ok(Dtype::F16), start, 4));
        assert_eq!((b.offset, b.length, &b.shape[..]), (start + 4, 8, &[1][..]));
        assert!(b.dtype.clone().unwrap_err().contains("I64"));
    }

    #[test]
    fn every_hostile_header_is_an_error() {
        let one = entry("a", "F32", "[2]", 0, 8);
        let whole = file(&format!("{{{one}}}"), 8);
        assert!(tensors("m", &whole).is_ok());
        for length in 0..whole.len() {
            assert!(tensors("m", &whole[..length]).is_err(), "cut at {length}");
        }
        // Nine tensors that reach nearly to 2⁶⁴.
        let ends: Vec<_> = (0..9).map(|place| place * (u64::MAX / 8)).chain([u64::MAX - 3]).collect();
        let huge = ends.windows(2).enumerate().map(|(place, ends)| {
            let shape = format!("[{}]", ends[1] - ends[0]);
            entry(&place.to_string(), "U8", &shape, ends[0], ends[1])
        });
        let huge = huge.collect::<Vec<_>>().join(",");
        let cases = [
            (file(&format!("{{{one},{one}}}"), 8), "twice"),
            (file(&format!("{{{one}}}"), 12), "8 bytes of tensors and it has 12"),
            (file(&format!("{{{one},{}}}", entry("b", "F32", "[1]", 12, 16)), 16), "offset"),
            (file(&format!("{{{one},{}}}", entry("b", "F32", "[1]", 4, 8)), 8), "offset"),
            (file(&format!("{{{}}}", entry("a", "F32", "[3]", 0, 8)), 8), "shape"),
            (file(&format!("{{{}}}", entry("a", "F32", "[4611686018427387905,4]", 0, 16)), 16), "overflow"),
            (file(&format!("{{{}}}", entry("a", "F32", "[-1]", 0, 8)), 8), "-1"),
            (file(&format!("{{{}}}", entry("a", "X9", "[2]", 0, 8)), 8), "X9"),
            (file(&format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)), 0), "recursion"),
            (file(&format!("{{{huge}}}"), 0), "18446744073709551612 bytes of tensors"),
            (file("{\"\u{1b}\"", 0), "control character"),
        ];
        for (bytes, expected) in cases {
            let Err(Error::ModelFormat(message)) = tensors("m", &bytes) else { panic!("{expected}: accepted") };
            assert!(message.contains(expected), "{expected}: {message}");
        }
        let mut long = whole;
        long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(tensors("m", &long).is_err());
    }
}
