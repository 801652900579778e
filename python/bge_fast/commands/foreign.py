"""Files that hold no text, told by their first bytes or their name, and the way out for each."""

from bge_fast.errors import BGEFastError


class InputError(BGEFastError, ValueError):
    """An input that cannot be read; names the file and the line."""


_PANDAS = """python -c "import pandas; pandas.read_{}('FILE').to_json('FILE.jsonl', orient='records', lines=True)\""""
_PIPE = "{} FILE | bge-fast … (the format may be named: --format csv)"
# First bytes → what the file is, and what makes text of it.
_BINARY: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "Parquet in a pipe or in gzip, or cut short", "name the file itself: its end says what is in it"),
    (b"ARROW1", "an Arrow file", _PANDAS.format("feather")),
    (b"FEA1", "a Feather file", _PANDAS.format("feather")),
    (b"ORC", "an ORC file", _PANDAS.format("orc")),
    (b"Obj\x01", "an Avro file", "write its records as JSONL"),
    (b"\x89HDF", "an HDF5 file", _PANDAS.format("hdf")),
    (b"\x93NUMPY", "a numpy array", "embed what it was made of"),
    (b"SQLite format 3\0", "an SQLite database", "sqlite3 -json FILE 'select …' | bge-fast …"),
    (b"\x1f\x8b", "compressed with gzip twice", _PIPE.format("gzip -dc")),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _PIPE.format("zstd -dc")),
    (b"\x04\x22\x4d\x18", "compressed with lz4", _PIPE.format("lz4 -dc")),
    (b"BZh", "compressed with bzip2", _PIPE.format("bzip2 -dc")),
    (b"\xfd7zXZ\x00", "compressed with xz", _PIPE.format("xz -dc")),
    (b"PK\x03\x04", "a zip archive, a spreadsheet or a document", "unzip it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an Office document", "save it as CSV or as plain text"),
    (b"%PDF-", "a PDF document", "pdftotext FILE - | bge-fast …"),
    (b"{\\rtf", "an RTF document", "save it as plain text"),
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8 FILE > text.txt"),
    (b"\xfe\xff", "UTF-16", "iconv -f UTF-16 -t UTF-8 FILE > text.txt"),
)
_MARKUP = (b"<?xml", b"<!doctype", b"<html")
_BY_SUFFIX = {
    **dict.fromkeys(("html", "htm", "xhtml", "xml"), "markup"),
    **dict.fromkeys(("yaml", "yml", "toml"), "a file of settings"),
}
_AS_LINES = "Take the texts out of it first; --format lines reads it line by line all the same"


def refuse_what_is_no_text(first: bytes, name: str, named: bool) -> None:
    """See that a file's first line may be text; of markup too unless its format was ``named``.

    Raises:
        InputError: says what the file is, and what makes text of it.
    """
    for magic, what, way_out in _BINARY:
        if first.startswith(magic) and not (magic.isalnum() and _is_sentence(first)):
            raise InputError(f"{name} is {what}, not text. The way out: {way_out.replace('FILE', name)}")
    if b"\0" in first:
        raise InputError(
            f"{name} is binary, or text in UTF-16. If it is the latter: iconv -f UTF-16LE -t UTF-8 {name} > text.txt"
        )
    suffix = name.lower().removesuffix(".gz").rpartition(".")[2]
    markup = "markup" if first.lstrip().lower().startswith(_MARKUP) else _BY_SUFFIX.get(suffix)
    if markup and not named:
        raise InputError(f"{name} is {markup}, not texts. {_AS_LINES}")


def _is_sentence(first: bytes) -> bool:
    """Whether a line that begins as a kind of file does is a text all the same: ``ORC grammar``."""
    return first.isascii() and first.decode().rstrip("\r\n").isprintable()
