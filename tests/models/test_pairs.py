"""What stands for pairs: exactly two texts, by their places; tables are read by rows. Texts are their characters."""

import enum
from collections import UserString, namedtuple
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bge_fast import BGEM3FlagModel, FlagModel, FlagReranker
from tests.support.checkpoints import checkpoint

PAIRS = [("heat transfer", "slip flow"), ("a wing", "boundary layer"), ("边界层", "a wing in a slipstream")]
FRAME = pd.DataFrame(PAIRS, columns=["query", "passage"])
Pair = namedtuple("Pair", ["query", "passage"])


@pytest.fixture(scope="module")
def reranker() -> FlagReranker:
    return FlagReranker(str(checkpoint("tiny-reranker")), devices="cpu")


@pytest.fixture(scope="module")
def m3() -> BGEM3FlagModel:
    return BGEM3FlagModel(str(checkpoint("tiny-m3")), devices="cpu")


class Columns:
    """A table of somebody's own: iterating it gives names of columns."""

    columns = ("query", "passage")

    def __iter__(self):
        return iter(self.columns)


class Table(Columns):
    shape = (3, 2)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(PAIRS, dtype)


def arrow(kind: str) -> Any:
    pa = pytest.importorskip("pyarrow")
    return getattr(pa, kind).from_pydict({"query": [q for q, _ in PAIRS], "passage": [p for _, p in PAIRS]})


def polars_frame() -> Any:
    return pytest.importorskip("polars").DataFrame({"q": [q for q, _ in PAIRS], "p": [p for _, p in PAIRS]})


TABLES = {
    "frame": lambda: FRAME,
    "frame of any labels": lambda: FRAME.set_axis([7, 7, 0]).set_axis(["same", "same"], axis=1),
    "frame of numbered columns": lambda: FRAME.set_axis([1, 0], axis=1),
    "categories": lambda: FRAME.astype("category"),
    "arrow strings": lambda: FRAME.astype("string"),
    "rows of iterrows": lambda: [row for _, row in FRAME.iterrows()],
    "rows as a tuple": lambda: tuple(row for _, row in FRAME.iterrows()),
    "rows of itertuples": lambda: FRAME.itertuples(index=False),
    "series labelled backwards": lambda: [pd.Series(pair, index=[1, 0]) for pair in PAIRS],
    "series of pairs": lambda: pd.Series(PAIRS, index=[2, 1, 0]),
    "numpy": lambda: np.array(PAIRS),
    "numpy of objects": lambda: np.array(PAIRS, object),
    "numpy rows": lambda: list(np.array(PAIRS)),
    "named tuples": lambda: [Pair(*pair) for pair in PAIRS],
    "columns zipped": lambda: zip(FRAME["query"], FRAME["passage"], strict=True),
    "a table of one's own": Table,
    "polars": polars_frame,
    "polars rows": lambda: polars_frame().iter_rows(),
    "arrow table": lambda: arrow("Table"),
    "arrow batch": lambda: arrow("RecordBatch"),
}


@pytest.mark.parametrize("form", TABLES)
def test_tables_are_read_by_rows(reranker, form):
    wanted = reranker.compute_score(PAIRS)
    assert len(set(wanted)) == 3
    assert reranker.compute_score(TABLES[form]()) == wanted
    assert reranker.get_detailed_inputs(TABLES[form]()) == [list(pair) for pair in PAIRS]


@pytest.mark.parametrize("form", ["frame", "rows of iterrows", "series labelled backwards", "numpy"])
def test_every_entry_point_reads_them(reranker, m3, form):
    assert reranker.compute_score_single_gpu(TABLES[form]()) == reranker.compute_score(PAIRS)
    assert m3.compute_score(TABLES[form]()) == m3.compute_score(PAIRS)
    assert m3.compute_score_single_device(TABLES[form]()) == m3.compute_score(PAIRS)


@pytest.mark.parametrize("rows", [1, 2])
def test_tables_of_few_rows(reranker, rows):
    wanted = reranker.compute_score(PAIRS[:rows])
    assert reranker.compute_score(FRAME[:rows]) == wanted
    assert reranker.compute_score(np.array(PAIRS[:rows])) == wanted
    assert reranker.compute_score([row for _, row in FRAME[:rows].iterrows()]) == wanted
    assert reranker.compute_score([pd.Series(pair, index=[1, 0]) for pair in PAIRS[:rows]]) == wanted


def test_one_bare_pair_by_place(reranker, m3):
    bare = pd.Series(PAIRS[0], index=[1, 0])
    assert reranker.compute_score(bare) == reranker.compute_score(PAIRS[0])
    assert m3.compute_score(bare) == m3.compute_score(PAIRS[0])


TWO = FRAME[:2]
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "a triple": ([PAIRS[0], (*PAIRS[1], "third")], ValueError, r"pairs\[1\] has 3 texts"),
    "a triple with a label": ([(*PAIRS[0], 1)], ValueError, r"pairs\[0\] has 3 texts"),
    "a list of three": ([list(PAIRS[0]), [*PAIRS[1], ""]], ValueError, r"pairs\[1\] has 3 texts"),
    "a frame of three columns": (FRAME.assign(label="x"), ValueError, r"pairs\[0\] has 3 texts"),
    "a frame of one column": (FRAME[["query"]], ValueError, r"pairs\[0\] has 1 texts"),
    "rows with their index": (FRAME.itertuples(), ValueError, r"pairs\[0\] has 3 texts"),
    "rows with their labels": (FRAME.iterrows(), TypeError, r"the query of pairs\[0\] is int"),
    "columns of three rows": ((FRAME["query"], FRAME["passage"]), ValueError, r"pairs\[0\] has 3 texts"),
    "columns of two rows": ((TWO["query"], TWO["passage"]), ValueError, "column of queries"),
    "columns in a list": ([TWO["query"], TWO["passage"]], ValueError, "column of queries"),
    "columns without names": ((pd.Series(["a", "b"]), pd.Series(["c", "d"])), ValueError, "column of queries"),
    "columns of labelled rows": (
        (TWO["query"].set_axis(["x", "y"]), TWO["passage"].set_axis(["x", "y"])),
        ValueError,
        "column of queries",
    ),
    "columns of numpy": ((np.array(["a", "b"]), np.array(["c", "d"])), ValueError, "column of queries"),
    "numpy of three columns": (np.array([["a", "b", "c"]]), ValueError, r"pairs\[0\] has 3 texts"),
    "missing text": (FRAME.where(FRAME != "a wing", None), TypeError, r"the query of pairs\[1\]"),
    "masked": (np.ma.masked_equal(np.array(PAIRS, object), "a wing"), TypeError, r"the query of pairs\[1\]"),
    "records": (FRAME.to_dict("records"), TypeError, r"pairs\[0\] is dict"),
    "a table that cannot be read": (Columns(), TypeError, "the rows of Columns cannot be read"),
    "no dimension": (np.array("a"), ValueError, r"\(\)"),
    "numbers": (np.zeros((2, 2)), TypeError, r"the query of pairs\[0\] is float"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_no_pair_is_refused(reranker, m3, form):
    pairs, error, said = REFUSED[form]
    for call in (reranker.compute_score, reranker.compute_score_single_gpu, m3.compute_score):
        if not hasattr(pairs, "__next__"):
            with pytest.raises(error, match=said):
                call(pairs)
    with pytest.raises(error, match=said):
        reranker.get_detailed_inputs(pairs)


def test_tables_are_no_texts(bert: FlagModel, reranker):
    for call in (bert.encode, bert.encode_queries, lambda table: reranker.rank("a", table)):
        for table in (FRAME, FRAME[["query"]], np.array(PAIRS), Columns()):
            with pytest.raises((TypeError, ValueError), match="one-dimensional|cannot be read"):
                call(table)


class Loud(str):
    """A str that shows itself otherwise."""

    def __str__(self) -> str:
        return "LOUD"

    def __format__(self, spec: str) -> str:
        return "LOUD"

    def __iter__(self):
        return iter("LOUD")

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def encode(self, *_: Any) -> bytes:
        return b"LOUD"


class Topic(str, enum.Enum):  # noqa: UP042 StrEnum would show its characters
    WING = "a wing"
    HEAT = "heat transfer"


OTHERS = {"subclass": Loud, "enumeration": Topic, "numpy": np.str_}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_text_is_its_characters(bert: FlagModel, reranker, m3, kind):
    plain = ["a wing", "heat transfer"]
    texts = [OTHERS[kind](text) for text in plain]
    for instruction in (None, "find: "):
        assert np.array_equal(bert.encode(texts, instruction=instruction), bert.encode(plain, instruction=instruction))
        assert np.array_equal(
            bert.encode(texts[0], instruction=instruction), bert.encode(plain[0], instruction=instruction)
        )
    assert np.array_equal(bert.encode("x", instruction=texts[0]), bert.encode("x", instruction=plain[0]))
    assert reranker.compute_score([texts, texts[::-1]]) == reranker.compute_score([plain, plain[::-1]])
    assert reranker.get_detailed_inputs([texts]) == [plain]
    assert all(type(text) is str for text in reranker.get_detailed_inputs(texts)[0])
    assert reranker.rank(texts[0], texts) == reranker.rank(plain[0], plain)
    assert m3.compute_score([texts, texts[::-1]]) == m3.compute_score([plain, plain[::-1]])


def test_arrow_arrays_are_texts(bert: FlagModel):
    pa = pytest.importorskip("pyarrow")
    texts = [query for query, _ in PAIRS]
    assert np.array_equal(bert.encode(pa.array(texts)), bert.encode(texts))
    assert np.array_equal(bert.encode(pa.chunked_array([texts[:1], texts[1:]])), bert.encode(texts))


def test_what_only_looks_like_a_str_is_named(bert: FlagModel):
    with pytest.raises(TypeError, match=r"texts\[1\] is UserString"):
        bert.encode(["a", UserString("b")])
