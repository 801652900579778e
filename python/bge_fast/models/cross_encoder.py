"""Cross-encoders: ``FlagReranker``."""

from typing import Unpack

from bge_fast.models.inputs import to_pairs
from bge_fast.models.keywords import ModelKeywords, Scoring, TokenizerKeywords, refuse_unknown_keywords
from bge_fast.models.progress import progress_bar
from bge_fast.models.reranker import AbsReranker, Ranked, as_floats
from bge_fast.models.shapes import Devices, Pair, Pairs, Texts
from bge_fast.runtime.background import awaited


class FlagReranker(AbsReranker):
    """Scores of a BERT or XLM-R cross-encoder with one output, with FlagEmbedding's names, defaults and numbers.

    Args:
        model_name_or_path: a checkpoint's folder, a model folder, a folder with ``onnx/model.onnx``, or a hub id.
        use_fp16: on CUDA, run the fp16 graph where there is one. The CPU always computes in fp32.
        query_instruction_for_rerank: put before each query.
        query_instruction_format: how; first placeholder the instruction, second the text.
        passage_instruction_for_rerank: put before each passage.
        passage_instruction_format: how.
        trust_remote_code: accepted, without effect: Python from a repository is never run.
        cache_dir: the hub's cache folder.
        devices: ``None``, ``"cpu"``, ``"cuda"``, ``"cuda:0"``, ``0``; ``None`` takes the first CUDA device where
            ``onnxruntime-gpu`` is installed and usable, else the CPU.
        batch_size: most pairs of one ONNX Runtime call; batches are also bounded by their tokens.
        query_max_length: most tokens of a query; by default three quarters of ``max_length``.
        max_length: most tokens of a pair, special tokens included.
        normalize: map scores to 0 … 1 by the logistic function.
        precision: ``"fp32"`` or ``"fp16"``; wins over ``use_fp16``.
        threads: CPU threads; by default all that affinity and cgroup allow.
        low_memory: leave weights in the mapped file instead of repacking them for speed: opens faster, needs less
            private memory, runs slower.
        onnx_file: the graph to open, by its name in the folder or repository, such as ``"onnx/model_O3.onnx"``; by
            default weights or ``onnx/model.onnx``.
        on_fork: what a forked child does with a model that its parent opened: ``"reopen"`` opens it again by itself,
            once, from the same files; ``"error"`` raises ``ForkedProcessError``.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError, RuntimeNotFoundError, DeviceError: see
            `bge_fast.errors`.

    Source: ``FlagEmbedding.FlagReranker`` of FlagEmbedding 1.4.2.
    """

    def __init__(
        self,
        model_name_or_path: str,
        use_fp16: bool = False,
        query_instruction_for_rerank: str | None = None,
        query_instruction_format: str = "{}{}",
        passage_instruction_for_rerank: str | None = None,
        passage_instruction_format: str = "{}{}",
        trust_remote_code: bool = False,
        cache_dir: str | None = None,
        devices: Devices = None,
        batch_size: int = 128,
        query_max_length: int | None = None,
        max_length: int = 512,
        normalize: bool = False,
        *,
        precision: str | None = None,
        threads: int | None = None,
        low_memory: bool = False,
        onnx_file: str | None = None,
        on_fork: str = "reopen",
        **kwargs: Unpack[ModelKeywords],
    ) -> None:
        self._start(locals())

    def compute_score(
        self,
        sentence_pairs: Pair | Pairs,
        *,
        batch_size: int | None = None,
        query_max_length: int | None = None,
        max_length: int | None = None,
        normalize: bool | None = None,
        show_progress_bar: bool | None = None,
        **kwargs: Unpack[TokenizerKeywords],
    ) -> list[float]:
        """Score pairs of a query and a passage.

        Args:
            sentence_pairs: one pair, any iterable of pairs, or a table of two columns, which is read by rows.
            batch_size, query_max_length, max_length, normalize: ``None`` takes the model's.
            show_progress_bar: ``True`` a bar, ``False`` none, ``None`` one where somebody watches, after two seconds.

        Returns:
            A score a pair, in input order: the logit, or with ``normalize`` a probability. A list also for one pair.

        Raises:
            TypeError, ValueError: an input that cannot be scored; names its index. Nothing was computed.
            NumericsError: a score that is not finite; names the pair.
        """
        refuse_unknown_keywords("compute_score", kwargs)
        pairs = self.get_detailed_inputs(sentence_pairs)
        limits = self._limits(batch_size, query_max_length, max_length)
        return self._score(pairs, limits, self._normalizes(normalize), show_progress_bar)

    def compute_score_single_gpu(
        self,
        sentence_pairs: Pair | Pairs,
        batch_size: int | None = None,
        query_max_length: int | None = None,
        max_length: int | None = None,
        normalize: bool | None = None,
        device: str | None = None,
        *,
        show_progress_bar: bool | None = None,
        **kwargs: Unpack[TokenizerKeywords],
    ) -> list[float]:
        """Score on the model's device; ``device`` may name it. As `compute_score`, but without the instructions."""
        refuse_unknown_keywords("compute_score_single_gpu", kwargs)
        self._check_device(device)
        pairs = [list(pair) for pair in to_pairs(sentence_pairs)[0]]
        limits = self._limits(batch_size, query_max_length, max_length)
        return self._score(pairs, limits, self._normalizes(normalize), show_progress_bar)

    def rank(self, query: str, passages: Texts, top_k: int | None = None, **kwargs: Unpack[Scoring]) -> list[Ranked]:
        """Sort passages by their score for one query.

        Args:
            query: one text.
            passages: any iterable of ``str``, or one.
            top_k: how many to return; ``None`` all.
            **kwargs: those of `compute_score`.

        Returns:
            ``(position, score)`` of the best passages, best first; of equal scores the earlier passage first.
        """
        refuse_unknown_keywords("rank", kwargs, Scoring)
        return self._ranked(query, passages, top_k, kwargs)

    async def acompute_score(self, sentence_pairs: Pair | Pairs, **kwargs: Unpack[Scoring]) -> list[float]:
        """Score pairs as `compute_score` does, with its arguments, while the event loop goes on."""
        return await awaited(self.compute_score, sentence_pairs, **kwargs)

    async def arank(
        self, query: str, passages: Texts, top_k: int | None = None, **kwargs: Unpack[Scoring]
    ) -> list[Ranked]:
        """Sort passages as `rank` does, with its arguments, while the event loop goes on."""
        return await awaited(self.rank, query, passages, top_k, **kwargs)

    def _score(self, pairs: list[list[str]], limits: dict[str, int], normalize: bool, show: bool | None) -> list[float]:
        with progress_bar(len(pairs), show) as progress:
            queries, passages = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            scores = self._open().core.score(queries, passages, **limits, progress=progress)
        return as_floats(scores, normalize)
