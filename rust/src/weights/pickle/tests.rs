use super::memory::{MAX_ITEMS, MAX_STACK};
use super::*;

/// A tensor as a pickle tells of it.
pub(crate) struct Sample<'a> {
    pub name: &'a str,
    pub storage: &'a str,
    pub key: &'a str,
    pub count: u64,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

impl<'a> Sample<'a> {
    /// A float32 tensor that fills its storage, row by row.
    pub fn new(name: &'a str, shape: &[u64]) -> Self {
        let strides = (0..shape.len()).map(|place| shape[place + 1..].iter().product()).collect();
        Self {
            name,
            storage: "FloatStorage",
            key: "0",
            count: shape.iter().product(),
            offset: 0,
            shape: shape.to_vec(),
            strides,
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat()
}

fn number(number: u64) -> Vec<u8> {
    [&b"\x8a\x08"[..], &number.to_le_bytes()].concat()
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    [b"(".to_vec(), numbers.iter().flat_map(|&one| number(one)).collect(), b"t".to_vec()].concat()
}

/// The call that makes a tensor again, which protocol 2 writes.
fn rebuild(sample: &Sample<'_>) -> Vec<u8> {
    rebuild_with(sample, b"")
}

/// The same, with what may stand behind the count of a storage.
fn rebuild_with(sample: &Sample<'_>, behind_count: &[u8]) -> Vec<u8> {
    let storage = format!("ctorch\n{}\n", sample.storage).into_bytes();
    [
        &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
        &text("storage"),
        &storage,
        &text(sample.key),
        &text("cpu"),
        &number(sample.count),
        behind_count,
        b"tQ",
        &number(sample.offset),
        &numbers(&sample.shape),
        &numbers(&sample.strides),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// A state dict as torch before 1.6 wrote it: each storage could have been a view of another.
pub(crate) fn legacy_state_dict(samples: &[Sample<'_>]) -> Vec<u8> {
    let tensors = samples.iter().flat_map(|sample| [text(sample.name), rebuild_with(sample, b"N")].concat());
    b"\x80\x02}(".iter().copied().chain(tensors).chain(*b"u.").collect()
}

/// A state dict of tensors in one storage, with the `_metadata` that torch's modules add.
pub(crate) fn state_dict(samples: &[Sample<'_>]) -> Vec<u8> {
    let mut bytes = b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(".to_vec();
    for sample in samples {
        bytes.extend([text(sample.name), rebuild(sample)].concat());
    }
    bytes.extend([&b"u}"[..], &text("_metadata"), b"h\x00sb."].concat());
    bytes
}

fn refusal(pickle: &[u8]) -> String {
    tensors(pickle).expect_err("accepted")
}

#[test]
fn a_state_dict_is_read_in_order() {
    let samples = [Sample::new("b", &[2, 3]), Sample::new("a", &[])];
    let pickle = state_dict(&samples);
    let (read, _) = tensors(&pickle).unwrap();
    let storage = Storage { element: ("float32", 4), key: "0", count: 6 };
    assert_eq!(read[0], ("b", View { storage, offset: 0, shape: vec![2, 3], strides: vec![3, 1] }));
    assert_eq!((read.len(), read[1].0, &read[1].1.shape[..]), (2, "a", &[][..]));
    for length in 0..pickle.len() {
        assert!(tensors(&pickle[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn newer_framing_parameters_and_plain_dictionaries_are_read() {
    let tensor = rebuild(&Sample::new("a", &[1]));
    let frame = b"\x80\x05\x95\xff\0\0\0\0\0\0\0}\x94\x8c\x01a\x8c\x0ctorch._utils\x8c\x12_rebuild_parameter\x93\x94";
    let pickle = [&frame[..], &tensor, b"\x88N\x87R\x94s\x8c\x05epochK\x03s\x8c\x04tied", b"h\x02s."].concat();
    let (read, _) = tensors(&pickle).unwrap();
    assert_eq!(read.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["a", "tied"]);
    assert_eq!(read[0].1, read[1].1);
}

#[test]
fn hostile_pickles_are_refused_by_name() {
    let tensor = rebuild(&Sample::new("a", &[1]));
    let metadata = [&tensor[..tensor.len() - 2], b"}tR."].concat();
    let cases: [(&[u8], &str); 18] = [
        (b"cos\nsystem\n(X\x02\0\0\0idtR.", "its pickle calls os.system, which no weights need; nothing was executed"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "calls builtins.eval,"),
        (b"(ios\nsystem\n.", "calls os.system,"),
        (b"ctorch\nload\n.", "calls torch.load,"),
        (b"c__builtin__\ngetattr\n.", "calls __builtin__.getattr,"),
        (b"ctorch._utils\n_rebuild_tensor_v3\n.", "calls torch._utils._rebuild_tensor_v3,"),
        (b"ca\x1b[2J\nb\n.", "calls a\\u{1b}[2J.b,"),
        (b"ctorch\nFloatStorage\n)R.", "unknown arguments"),
        (b"}}\x81.", "opcode NEWOBJ"),
        (b"\x82\x01.", "opcode EXT1"),
        (b"\xfe", "no opcode 0xfe"),
        (b"\x80\x01", "protocol 1"),
        (b"X\xff\xff\xff\xff", "text of 4294967295 bytes"),
        (b"\x8b\xff\xff\xff\xff\x01\x01\x01\x01\x01\x01\x01\x01\x01", "number of 4294967295 bytes"),
        (&[b'('; 100], "nested"),
        (&metadata, "unknown arguments"),
        (b"}X\x05\0\0\0modelK\x01s.", "(model) holds no tensors"),
        (b"K\x01.", "Save the model's state_dict"),
    ];
    for (pickle, expected) in cases {
        let reason = refusal(pickle);
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
}

#[test]
fn pickles_that_end_too_soon_are_refused() {
    let pickles: [&[u8]; 15] =
        [b".", b"0", b"s", b"}s", b"t", b"(.", b"u", b"R", b"Q", b"b", b"a", b"h\0", b"q\0", b"](K\x01u.", b"}K\x01Q."];
    for pickle in pickles {
        refusal(pickle);
    }
}

#[test]
fn a_pickle_cannot_grow_without_end_or_nest_until_the_stack_ends() {
    assert!(refusal(&vec![b'N'; MAX_STACK + 1]).contains("values open"));
    assert!(refusal(&b"]q\0h\0a".repeat(MAX_ITEMS)).contains("values"));
    // Tuples in each other as deep as may be, and a list in itself.
    let deep = [&b")"[..], &b"\x85".repeat(MAX_ITEMS / 4), b"."].concat();
    assert!(refusal(&deep).contains("state_dict"));
    assert!(refusal(b"]q\0h\0a.").contains("state_dict"));
}

#[test]
fn any_changed_byte_is_an_error_or_another_value_and_never_a_panic() {
    let pickle = state_dict(&[Sample::new("a", &[2, 3])]);
    for place in 0..pickle.len() {
        for byte in 0..=255 {
            let mut changed = pickle.clone();
            changed[place] = byte;
            let _ = tensors(&changed);
        }
    }
}

#[test]
fn numbers_of_every_width_are_read() {
    let cases: [(&[u8], i64); 6] = [
        (&[], 0),
        (&[0xff], -1),
        (&[0, 1], 256),
        (&[0xff, 0xff, 0x7f], 0x007f_ffff),
        (&[0, 0, 0, 0, 0, 0, 0, 0x80], i64::MIN),
        (&[1, 0, 0, 0, 0, 0, 0], 1),
    ];
    for (bytes, expected) in cases {
        let written = [&[u8::try_from(bytes.len()).unwrap()], bytes].concat();
        assert_eq!(Input(&written).long(0x8a), Ok(expected));
    }
}
