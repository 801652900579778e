"""What a model did since it was opened: numbers alone, nothing of a text."""

from typing import TypedDict

from bge_fast import _core


class ModelStats(TypedDict):
    """What ``stats()`` says. All but ``waiting`` counts since this process opened the model, over all threads."""

    calls: int
    """Passes through the core: one for a call of ``encode`` and the like, several for blocks and M3's scores."""
    texts: int
    """Texts or pairs that these brought."""
    tokens: int
    """Tokens that were run, special tokens included. A text that comes again in a call is run once."""
    padding_share: float
    """Of the tokens that went through the graph, how many only filled batches up: 0 … 1."""
    batches: int
    """Runs of the graph."""
    truncated: int
    """Texts or pairs that were cut at the length limit; one that comes again in a call counts once."""
    redone_in_fp32: int
    """Texts or pairs that overflowed in float16 on CUDA, and were run again."""
    out_of_memory: int
    """Batches for which there was no memory. On CUDA such a batch is run in halves."""
    waiting: int
    """Calls that wait for a run now."""
    seconds_tokenizing: float
    """Of all threads together, as the other two."""
    seconds_waiting: float
    seconds_running: float


def stats_of(core: _core.Model) -> ModelStats:
    """The numbers of an opened model."""
    totals, seconds = core.totals(), core.seconds
    through = totals["tokens"] + totals["padding"]
    return {
        "calls": totals["calls"],
        "texts": totals["items"],
        "tokens": totals["tokens"],
        "padding_share": totals["padding"] / through if through else 0.0,
        "batches": totals["batches"],
        "truncated": totals["truncated"],
        "redone_in_fp32": totals["redone"],
        "out_of_memory": totals["out_of_memory"],
        "waiting": totals["waiting"],
        "seconds_tokenizing": seconds[0],
        "seconds_waiting": seconds[1],
        "seconds_running": seconds[2],
    }
