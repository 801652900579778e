"""bge-fast's own graphs of a checkpoint, run by Python's onnxruntime: forms that no public call runs."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from competitors import Competitor
from jobs import Job, Matrix, batches_by_length
from numpy.typing import NDArray

_FIRST_POSITIONS = {"bert": 0, "xlm-roberta": 2}
_SPECIAL_IDS = 1000


class Forms:
    """The sessions of one checkpoint's graph, each opened when it is needed."""

    def __init__(self, folder: Path, output: str) -> None:
        from bge_fast import _core
        from bge_fast.opening.checkpoint import graph_sizes

        self.config = json.loads((folder / "config.json").read_text())
        self.output = output
        self._checkpoint = _core.Checkpoint([str(folder / "model.safetensors")], graph_sizes(folder.name, self.config))
        self._sessions: dict[tuple[bool, int], Any] = {}

    def session(self, mask: bool, threads: int) -> Any:
        """Options are those of bge-fast's own sessions: for queries with all threads, for bulk with one."""
        import onnxruntime

        if (mask, threads) not in self._sessions:
            proto, folder = self._checkpoint.graph([self.output], "masked" if mask else "plain")
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.enable_mem_pattern = False
            options.add_session_config_entry("session.intra_op.allow_spinning", str(int(threads > 1)))
            options.add_session_config_entry("session.intra_op.spin_duration_us", "500")
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
            session = onnxruntime.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
            self._sessions[mask, threads] = session
        return self._sessions[mask, threads]

    def feeds(self, ids: list[list[int]], mask: bool) -> dict[str, NDArray[np.int64]]:
        """Inputs of one batch, padded on the right."""
        width = max(map(len, ids))
        padding = self.config.get("pad_token_id") or 0
        first = _FIRST_POSITIONS[self.config["model_type"]]
        input_ids = np.array([row + [padding] * (width - len(row)) for row in ids], np.int64)
        given = np.array([[1] * len(row) + [0] * (width - len(row)) for row in ids], np.int64)
        positions = np.broadcast_to(np.arange(first, first + width), input_ids.shape)
        feeds = {"input_ids": input_ids, "position_ids": np.ascontiguousarray(positions)}
        return {**feeds, "attention_mask": given} if mask else feeds

    def first_rows(self, ids: list[list[int]], mask: bool) -> Matrix:
        """Unit vectors of one batch, with all threads."""
        (states,) = self.session(mask, _cores()).run(None, self.feeds(ids, mask))
        rows = states if states.ndim == 2 else states[:, 0]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Pruned(Competitor):
    """The graph whose last layer computes the first token's state alone."""

    packages = ("onnxruntime", "numpy")
    output = "cls"

    def __init__(self, folder: Path) -> None:
        self.forms = Forms(folder, self.output)

    def batch(self, lengths: list[int]) -> Job:
        """Texts of these lengths as one batch, with all threads: with a mask where one is shorter."""
        ids = self._ids(lengths)
        padded = len(set(lengths)) > 1
        session, feeds = self.forms.session(padded, _cores()), _values(self.forms.feeds(ids, padded))
        # Outputs stay where they are: whoever takes one row of hidden states need not copy the rest.
        return Job(lambda: session.run_with_ort_values(None, feeds))

    def vectors(self, lengths: list[int]) -> Job:
        """The batch's unit vectors."""
        return Job(lambda: self.forms.first_rows(self._ids(lengths), len(set(lengths)) > 1))

    def bulk(self, lengths: list[int]) -> Job:
        """Texts of these lengths, sorted and cut into batches, as many runs at a time as there are cores."""
        ids = self._ids(lengths)
        work = []
        for rows in reversed(batches_by_length(ids)):
            padded = len({len(ids[row]) for row in rows}) > 1
            session = self.forms.session(padded, 1)
            work.append((session, _values(self.forms.feeds([ids[row] for row in rows], padded))))

        def run() -> None:
            with ThreadPoolExecutor(_cores()) as pool:
                # Nothing that a run gives is kept.
                list(pool.map(lambda one: bool(one[0].run_with_ort_values(None, one[1])), work))

        return Job(run)

    def _ids(self, lengths: list[int]) -> list[list[int]]:
        source = np.random.default_rng(len(lengths))
        most = self.forms.config["vocab_size"]
        return [source.integers(min(_SPECIAL_IDS, most // 2), most, length).tolist() for length in lengths]


class Whole(Pruned):
    """The same graph with all hidden states of the last layer."""

    output = "hidden_states"


def _values(feeds: dict[str, NDArray[np.int64]]) -> dict[str, Any]:
    import onnxruntime

    return {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}


def _cores() -> int:
    return len(os.sched_getaffinity(0))
