"""Whether there is memory for what a decoder's weights are made into, told before anything is made."""

from collections.abc import Mapping
from typing import Any

from bge_fast.runtime.limits import available_memory, gibibytes

# Bytes of a weight, from large to small: its bits, two float32 numbers for each block of 128 and, in 4 bits, a byte for
# each 32. Else weights stay in their file.
_BYTES = {"int8": 1 + 8 / 128, "int4": 1 / 2 + 8 / 128 + 1 / 32}
# What is left to the tokenizer, to texts on their way and to the rest of the process.
_SPARE = 256 << 20


def check_room(name: str, sizes: Mapping[str, Any], computation: str) -> None:
    """See that a checkpoint's weights fit into memory in the form that they are computed in.

    Args:
        sizes: what the graph follows from.

    Raises:
        MemoryError: says how much is needed, how much there is, and what needs less.
    """
    needed = private_bytes(sizes, computation)
    if not needed:
        return
    available = available_memory()
    if available is not None and needed + _SPARE > available:
        raise MemoryError(
            f'{name} needs {gibibytes(needed)} of memory for its weights with precision="{computation}", and '
            f"{gibibytes(available)} are free.{_smaller(sizes, computation)} Leave precision out, or pass "
            '"bf16" where the processor has it: weights then stay in their file, and are slower to read where that '
            "does not fit into memory either"
        )


def _smaller(sizes: Mapping[str, Any], computation: str) -> str:
    forms = list(_BYTES)
    smaller = forms[forms.index(computation) + 1 :]
    return f' precision="{smaller[0]}" needs {gibibytes(private_bytes(sizes, smaller[0]))}.' if smaller else ""


def private_bytes(sizes: Mapping[str, Any], computation: str) -> int:
    """Bytes of the matrices that are made of a decoder's; 0 where its file serves, and of an encoder."""
    if computation not in _BYTES or "head_dim" not in sizes:
        return 0
    hidden, size = sizes["hidden_size"], sizes["head_dim"]
    attention = 2 * hidden * size * (sizes["num_attention_heads"] + sizes["num_key_value_heads"])
    weights = sizes["num_hidden_layers"] * (attention + 3 * hidden * sizes["intermediate_size"])
    return int(weights * _BYTES[computation])
