"""Vectors in a file: whole, of other texts, and after an interruption."""

from pathlib import Path

import numpy as np
import pytest

from bge_fast.search import stored
from bge_fast.search.stored import stored_vectors

TEXTS = [f"text {number}" for number in range(23)]


class Encoder:
    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at, self.seen = fails_at, 0

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.seen += len(texts)
        if self.fails_at is not None and self.seen >= self.fails_at:
            raise KeyboardInterrupt
        return np.array([[float(text.split()[1]), 1, 2] for text in texts], np.float32).reshape(-1, 3)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_WINDOW", 5)


def test_an_interrupted_run_encodes_only_what_is_missing(tmp_path: Path) -> None:
    file, done = tmp_path / "sub" / "x.npy", []
    with pytest.raises(KeyboardInterrupt):
        stored_vectors(file, TEXTS, Encoder(fails_at=12), {"model": "m"})
    assert not file.exists()
    (partial,) = file.parent.iterdir()
    with partial.open("ab") as torn:
        torn.write(b"half")
    again = Encoder()
    vectors = stored_vectors(file, TEXTS, again, {"model": "m"}, done.append)
    assert again.seen == 13
    assert done == [15, 20, 23]
    np.testing.assert_array_equal(vectors, Encoder()(TEXTS))
    assert sorted(path.name for path in file.parent.iterdir()) == ["x.npy", "x.npy.json"]


@pytest.mark.parametrize(("texts", "made_by"), [([*TEXTS[:-1], "text 9"], {"model": "m"}), (TEXTS, {"model": "n"})])
def test_what_is_not_the_same_is_encoded_again(tmp_path: Path, texts: list[str], made_by: dict[str, str]) -> None:
    stored_vectors(tmp_path / "x.npy", TEXTS, Encoder(), {"model": "m"})
    same, other = Encoder(), Encoder()
    stored_vectors(tmp_path / "x.npy", TEXTS, same, {"model": "m"})
    np.testing.assert_array_equal(stored_vectors(tmp_path / "x.npy", texts, other, made_by), Encoder()(texts))
    assert (same.seen, other.seen) == (0, 23)


def test_texts_are_told_apart_by_their_bounds(tmp_path: Path) -> None:
    encode = Encoder()
    for texts in (["t 1", "2"], ["t 12", ""]):
        stored_vectors(tmp_path / "x.npy", texts, lambda some: encode(["t 1"] * len(some)), {})
    assert encode.seen == 4 + 2 * 0


def test_no_texts_have_a_matrix_of_the_models_width(tmp_path: Path) -> None:
    assert stored_vectors(tmp_path / "x.npy", [], Encoder(), {}).shape == (0, 3)
