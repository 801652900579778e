"""Memory for what weights are made into is looked for before anything is made."""

import pytest

from bge_fast.opening import room
from bge_fast.opening.room import check_room, private_bytes
from bge_fast.runtime import limits

GEMMA = {
    "hidden_size": 2048,
    "head_dim": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 1,
    "num_hidden_layers": 18,
    "intermediate_size": 16384,
}


def test_eight_bits_take_a_byte_a_weight_and_two_numbers_a_block() -> None:
    weights = 18 * (2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 16384)
    assert private_bytes(GEMMA, "int8") == weights + weights // 128 * 8
    assert private_bytes(GEMMA, "int4") == weights // 2 + weights // 128 * 8 + weights // 32
    assert private_bytes(GEMMA, "bf16") == private_bytes(GEMMA, "fp32") == 0
    assert private_bytes({"hidden_size": 384}, "int8") == 0


def test_what_does_not_fit_is_refused_with_sizes_and_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: 2 << 30)
    with pytest.raises(
        MemoryError,
        match=r'needs 2\.0 GiB .* with precision="int8", and 2\.0 GiB are free\. '
        r'precision="int4" needs 1\.1 GiB\. Leave precision out',
    ):
        check_room("gemma", GEMMA, "int8")
    check_room("gemma", GEMMA, "fp32")
    monkeypatch.setattr(room, "available_memory", lambda: 1 << 30)
    with pytest.raises(MemoryError, match=r'with precision="int4", and 1\.0 GiB are free\. Leave precision out'):
        check_room("gemma", GEMMA, "int4")
    monkeypatch.setattr(room, "available_memory", lambda: 3 << 30)
    check_room("gemma", GEMMA, "int8")
    monkeypatch.setattr(room, "available_memory", lambda: None)
    check_room("gemma", GEMMA, "int8")


def test_a_cgroup_grants_what_it_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/self/cgroup": "0::/a",
        "/proc/meminfo": "MemAvailable:   8 kB\n",
        "/sys/fs/cgroup/a/memory.max": "5000",
        "/sys/fs/cgroup/a/memory.current": "2000",
    }
    monkeypatch.setattr(limits, "read_text", lambda path: files.get(str(path), ""))
    assert limits.available_memory() == 3000
    files["/sys/fs/cgroup/a/memory.max"] = "max"
    assert limits.available_memory() == 8192
    files.clear()
    assert limits.available_memory() is None
