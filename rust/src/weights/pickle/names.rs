//! What names and opcodes mean; those that weights have no need of are refused by name.

use super::input::{Result, damaged};
use crate::weights::stored::shown;

/// Name and bytes of an element type.
pub(crate) type ElementType = (&'static str, u64);

/// Storages by the last part of their name in `torch`: element type and its bytes.
const STORAGES: [(&str, ElementType); 14] = [
    ("FloatStorage", ("float32", 4)),
    ("HalfStorage", ("float16", 2)),
    ("BFloat16Storage", ("bfloat16", 2)),
    ("DoubleStorage", ("float64", 8)),
    ("LongStorage", ("int64", 8)),
    ("IntStorage", ("int32", 4)),
    ("ShortStorage", ("int16", 2)),
    ("CharStorage", ("int8", 1)),
    ("ByteStorage", ("uint8", 1)),
    ("BoolStorage", ("bool", 1)),
    ("ComplexFloatStorage", ("complex64", 8)),
    ("ComplexDoubleStorage", ("complex128", 16)),
    ("QInt8Storage", ("qint8", 1)),
    ("QUInt8Storage", ("quint8", 1)),
];

/// Opcodes that no weights need, and their names.
const REFUSED: [(u8, &str); 31] = [
    (b'0', "POP"),
    (b'1', "POP_MARK"),
    (b'2', "DUP"),
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'L', "LONG"),
    (b'P', "PERSID"),
    (b'S', "STRING"),
    (b'T', "BINSTRING"),
    (b'U', "SHORT_BINSTRING"),
    (b'V', "UNICODE"),
    (b'B', "BINBYTES"),
    (b'C', "SHORT_BINBYTES"),
    (b'd', "DICT"),
    (b'g', "GET"),
    (b'i', "INST"),
    (b'l', "LIST"),
    (b'o', "OBJ"),
    (b'p', "PUT"),
    (0x81, "NEWOBJ"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x8e, "BINBYTES8"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x91, "FROZENSET"),
    (0x92, "NEWOBJ_EX"),
    (0x96, "BYTEARRAY8"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
];

/// What a global name means here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(ElementType),
}

/// The meaning of a name; each is refused that has none.
pub(super) fn global(module: &str, name: &str) -> Result<Global> {
    let storage =
        |name| STORAGES.iter().find(|(known, _)| *known == name).map(|&(_, element)| Global::Storage(element));
    let known = match (module, name) {
        ("collections", "OrderedDict") => Some(Global::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
        ("torch", name) => storage(name),
        _ => None,
    };
    known.ok_or_else(|| {
        let name = shown(&format!("{module}.{name}"));
        unneeded(&format!("calls {name}"))
    })
}

/// Why an opcode is refused.
pub(super) fn refused(opcode: u8) -> String {
    match REFUSED.iter().find(|(refused, _)| *refused == opcode) {
        Some((_, name)) => unneeded(&format!("has the opcode {name}")),
        None => damaged(&format!("there is no opcode {opcode:#04x}")),
    }
}

/// The refusal of a pickle that does or has what it should not.
pub(super) fn unneeded(what: &str) -> String {
    format!("its pickle {what}, which no weights need; nothing was executed. Use the same weights as safetensors")
}
