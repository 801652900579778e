"""Pickles in `pytorch_model.bin` that would run something, are broken, or grow. Nothing of them is executed."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_fast.errors import ModelFormatError
from tests.support.malformed import (
    QUERY,
    Cases,
    archive,
    name,
    parts_of,
    rebuilt,
    refused,
    state_dict,
    text,
    tiny_tensors,
    turn_into_pickled,
    write_pickled,
)

REFUSED = r"^pytorch_model\.bin refused: "
NOTHING = r", which no weights need; nothing was executed\. Use the same weights as safetensors$"
MARKER = Path("marker-of-a-pickle-that-ran")
cases = Cases()


def put_pickle(folder: Path, raw: bytes) -> None:
    """An archive with the weights' storages and this pickle."""
    write_pickled(folder, archive(raw, parts_of(tiny_tensors())[1]))


# ── pickles that would run something ──────────────────────────────────────────────────────────────────────────────────


class Runs:
    """Unpickled, it calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(called: str, function: Callable[..., Any], *arguments: Any) -> None:
    for protocol in (2, 4):

        def put(folder: Path, protocol: int = protocol) -> None:
            put_pickle(folder, pickle.dumps({"weight": Runs(function, *arguments)}, protocol))

        put.__name__ = f"calls_{called}_by_protocol_{protocol}"
        cases(ModelFormatError, REFUSED + rf"its pickle calls \S*{called}" + NOTHING)(put)


hostile("system", os.system, f"touch {MARKER}")
hostile("eval", eval, f"open({str(MARKER)!r}, 'w')")
hostile("exec", exec, f"open({str(MARKER)!r}, 'w')")
hostile("open", open, str(MARKER), "w")
hostile("mkdir", os.mkdir, str(MARKER))
hostile("_reconstruct", np.ndarray([0]).__reduce__()[0], np.ndarray, (0,), b"b")


@cases(ModelFormatError, REFUSED + r"its pickle calls builtins\.getattr" + NOTHING)
def calls_what_getattr_finds(folder: Path) -> None:
    found = name("builtins", "getattr") + b"(" + name("os", "path") + text("os") + b"tR"
    put_pickle(folder, b"\x80\x02" + found + b"(" + text(f"touch {MARKER}") + b"tR.")


@cases(ModelFormatError, REFUSED + r"its pickle calls os\.system" + NOTHING)
def calls_before_the_tensors(folder: Path) -> None:
    items, storages = parts_of(tiny_tensors())
    call = name("os", "system") + b"(" + text(f"touch {MARKER}") + b"tR0"
    write_pickled(folder, archive(b"\x80\x02" + call + state_dict(items)[2:], storages))


@cases(ModelFormatError, REFUSED + r"its pickle calls torch\.load" + NOTHING)
def calls_a_function_of_torch(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02" + name("torch", "load") + b"(" + text("/etc/passwd") + b"tR.")


@cases(ModelFormatError, REFUSED + r"its pickle calls torch\.storage\._load_from_bytes" + NOTHING)
def calls_the_old_reader(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02" + name("torch.storage", "_load_from_bytes") + b"(" + text("x") + b"tR.")


@cases(ModelFormatError, REFUSED + r"its pickle calls posix\.system" + NOTHING)
def calls_by_inst(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02(" + text(f"touch {MARKER}") + b"iposix\nsystem\n.")


for opcode, raw in {
    "OBJ": b"(}o.",
    "NEWOBJ": b"})\x81.",
    "NEWOBJ_EX": b"})}\x92.",
    "EXT1": b"\x82\x01.",
    "EXT4": b"\x84\x01\0\0\0.",
    "PERSID": b"Px\n.",
    "BYTEARRAY8": b"\x96\x01\0\0\0\0\0\0\0x.",
    "NEXT_BUFFER": b"\x97.",
    "DUP": b"}2.",
}.items():

    def with_opcode(folder: Path, raw: bytes = raw) -> None:
        put_pickle(folder, b"\x80\x02" + raw)

    with_opcode.__name__ = f"opcode_{opcode}"
    cases(ModelFormatError, REFUSED + f"its pickle has the opcode {opcode}" + NOTHING)(with_opcode)


@cases(ModelFormatError, REFUSED + "its pickle .*unknown arguments" + NOTHING)
def builds_state_of_a_dictionary(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02" + name("collections", "OrderedDict") + b"(}tR.")


@cases(ModelFormatError, REFUSED + "its pickle .*unknown arguments" + NOTHING)
def negates_when_it_is_read(folder: Path) -> None:
    key = str(list(tiny_tensors()).index(QUERY))
    turn_into_pickled(
        folder, lambda items: items.update({QUERY: rebuilt(key, (32, 32))[:-2] + b"}" + text("neg") + b"\x88stR"})
    )


# ── pickles that are broken, or grow ──────────────────────────────────────────────────────────────────────────────────


@cases(ModelFormatError, REFUSED + ".*no opcode 0xfe")
def an_unknown_opcode(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02\xfe.")


@cases(ModelFormatError, REFUSED + "its pickle is of protocol 9; 2 to 5 are read")
def a_protocol_of_the_future(folder: Path) -> None:
    put_pickle(folder, b"\x80\x09}.")


@cases(ModelFormatError, REFUSED)
def an_empty_pickle(folder: Path) -> None:
    put_pickle(folder, b"")


@cases(ModelFormatError, REFUSED)
def a_pickle_that_is_cut_off(folder: Path) -> None:
    put_pickle(folder, state_dict(parts_of(tiny_tensors())[0])[:-700])


@cases(ModelFormatError, REFUSED + "its pickle has more than .* values")
def a_pickle_that_never_ends_to_remember(folder: Path) -> None:
    put_pickle(folder, b"\x80\x04}" + b"\x94" * 5_000_000 + b".")


@cases(ModelFormatError, REFUSED + "its pickle has more than .* values open")
def a_stack_of_a_million_values(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02" + b"N" * 1_000_000 + b".")


@cases(ModelFormatError, REFUSED + "its pickle is nested more than")
def a_million_marks(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02" + b"(" * 1_000_000 + b"t" * 1_000_000 + b".")


@cases(ModelFormatError, REFUSED)
def a_million_tuples_in_each_other(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02)" + b"\x85" * 1_000_000 + b".")


@cases(ModelFormatError, REFUSED)
def lists_that_hold_themselves(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02" + (b"]q\x00(" + b"h\x00" * 9 + b"e") * 10_000 + b".")


@cases(ModelFormatError, REFUSED + ".*4294967295 bytes")
def a_text_of_four_gigabytes(folder: Path) -> None:
    put_pickle(folder, b"\x80\x02X\xff\xff\xff\xff.")


@cases(ModelFormatError, REFUSED + ".*a number of")
def a_number_of_a_thousand_digits(folder: Path) -> None:
    put_pickle(folder, pickle.dumps({"epoch": 10**1000}, 2))


@cases(ModelFormatError, REFUSED + "it holds one object.*Save the model's state_dict")
def one_number(folder: Path) -> None:
    put_pickle(folder, pickle.dumps(7, 2))


@cases(ModelFormatError, REFUSED + r"its dictionary \(model, optimizer\) holds no tensors.*state_dict")
def a_training_state(folder: Path) -> None:
    put_pickle(folder, pickle.dumps({"model": {}, "optimizer": {}}, 2))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("spoil", "error", "said"), cases)
def test_malformed_pickles_are_refused_and_not_run(own_checkpoint, tmp_path, monkeypatch, spoil, error, said):
    monkeypatch.chdir(tmp_path)
    spoil(own_checkpoint)
    before = sorted(tmp_path.rglob("*"))
    refused(own_checkpoint, error, said)
    assert not MARKER.exists()
    assert sorted(tmp_path.rglob("*")) == before


def test_the_hostile_pickles_would_have_run(own_checkpoint, tmp_path, monkeypatch):
    """Python's own reader leaves the marker, so that the tests above look for the right thing."""
    monkeypatch.chdir(tmp_path)
    for runs in (Runs(os.system, f"touch {MARKER}"), Runs(eval, f"open({str(MARKER)!r}, 'w').close()")):
        pickle.loads(pickle.dumps(runs))
        MARKER.unlink()
