"""The same opened model with other attributes."""

import numpy as np
import pytest

from bge_fast import FlagModel


def test_other_attributes_over_the_same_engine(bert: FlagModel) -> None:
    text = "a wing in a slipstream"
    whole = bert.encode(text)
    short = bert.with_options(truncate_dim=8, normalize_embeddings=False)
    assert short.encode(text).shape == (8,)
    assert np.linalg.norm(short.encode(text)) != pytest.approx(1, abs=1e-3)
    assert (bert.encode(text) == whole).all(), "the first one keeps its own"
    assert short._open() is bert._open()


def test_each_is_closed_by_itself(tiny_bert) -> None:
    model = FlagModel(str(tiny_bert))
    other = model.with_options(truncate_dim=8)
    model.close()
    assert other.encode("x").shape == (8,)
    with pytest.raises(ValueError, match="closed"):
        model.with_options(truncate_dim=4)


@pytest.mark.parametrize("name", ["dimensions", "_opened", "encode"])
def test_what_is_no_attribute(bert: FlagModel, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        bert.with_options(**{name: 1})


def test_values_are_checked_at_once(bert: FlagModel) -> None:
    with pytest.raises(ValueError, match="truncate_dim"):
        bert.with_options(truncate_dim=0)
