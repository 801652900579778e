"""Decoder-only rerankers that score by a word: ``FlagLLMReranker``."""

from typing import Any, Unpack

from bge_fast.models.keywords import ModelKeywords, PromptedScoring
from bge_fast.models.prompted import PromptedReranker
from bge_fast.models.shapes import Devices, Pair, Pairs
from bge_fast.runtime.background import awaited


class FlagLLMReranker(PromptedReranker):
    """Scores of a decoder that is asked about a query and a passage: how much it would say "Yes".

    Args:
        model_name_or_path: a checkpoint's folder, or a hub id.
        peft_path: a folder with a LoRA adapter, which is merged into the weights.
        use_fp16: on CUDA, compute in fp16. The CPU uses weights as they are stored, in float32.
        use_bf16: on CUDA, compute in bf16, whatever ``use_fp16`` says.
        query_instruction_for_rerank: put before each query; ``None`` puts nothing there.
        query_instruction_format: how; first placeholder the instruction, second the text.
        passage_instruction_for_rerank: put before each passage; ``None`` puts nothing there.
        passage_instruction_format: how.
        cache_dir: the hub's cache folder.
        trust_remote_code: accepted, without effect: Python from a repository is never run.
        devices: ``None``, ``"cpu"``, ``"cuda"``, ``"cuda:0"``, ``0``; ``None`` takes the first CUDA device where
            ``onnxruntime-gpu`` is installed and usable, else the CPU.
        prompt: what stands behind each pair; ``None`` takes the class's.
        batch_size: most pairs of one ONNX Runtime call; batches are also bounded by their tokens.
        query_max_length: most tokens of a query; by default three quarters of ``max_length``.
        max_length: most tokens of a passage, and of query and passage together.
        normalize: map scores to 0 … 1 by the logistic function.
        precision: of the products: ``"fp32"`` or ``"bf16"``, on the CPU ``"int8"`` or ``"int4"``, on CUDA ``"fp16"``;
            by default fp32, on CUDA what ``use_fp16`` and ``use_bf16`` say.
        threads: CPU threads; by default all that affinity and cgroup allow.
        on_fork: what a forked child does with a model that its parent opened: ``"reopen"`` or ``"error"``.

    Raises:
        ModelNotFoundError, ModelFormatError, UnsupportedModelError, RuntimeNotFoundError, DeviceError: see
            `bge_fast.errors`.

    Source: ``FlagEmbedding.FlagLLMReranker`` of FlagEmbedding 1.4.2.
    """

    def __init__(
        self,
        model_name_or_path: str,
        peft_path: str | None = None,
        use_fp16: bool = False,
        use_bf16: bool = False,
        query_instruction_for_rerank: str | None = "A: ",
        query_instruction_format: str = "{}{}",
        passage_instruction_for_rerank: str | None = "B: ",
        passage_instruction_format: str = "{}{}",
        cache_dir: str | None = None,
        trust_remote_code: bool = False,
        devices: Devices = None,
        prompt: str | None = None,
        batch_size: int = 128,
        query_max_length: int | None = None,
        max_length: int = 512,
        normalize: bool = False,
        *,
        precision: str | None = None,
        threads: int | None = None,
        on_fork: str = "reopen",
        **kwargs: Unpack[ModelKeywords],
    ) -> None:
        self._start(locals())

    def compute_score(self, sentence_pairs: Pair | Pairs, **kwargs: Unpack[PromptedScoring]) -> list[float]:
        """Score pairs of a query and a passage.

        Args:
            sentence_pairs: one pair, any iterable of pairs, or a table of two columns, which is read by rows.
            **kwargs: ``batch_size``, ``query_max_length``, ``max_length``, ``prompt`` and ``normalize``, in place of
                the model's.

        Returns:
            A score a pair, in input order. A list also for one pair.

        Raises:
            TypeError, ValueError: an input that cannot be scored; names its index. Nothing was computed.
            NumericsError: a score that is not finite; names the pair.
        """
        return self._score_instructed(sentence_pairs, kwargs)[0]

    async def acompute_score(self, sentence_pairs: Pair | Pairs, **kwargs: Unpack[PromptedScoring]) -> list[float]:
        """Score pairs as `compute_score` does, with its arguments, while the event loop goes on."""
        return await awaited(self.compute_score, sentence_pairs, **kwargs)

    def compute_score_single_gpu(
        self,
        sentence_pairs: Pair | Pairs,
        batch_size: int | None = None,
        query_max_length: int | None = None,
        max_length: int | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        use_dataloader: bool = False,
        num_workers: int | None = None,
        device: str | None = None,
        **kwargs: Any,
    ) -> list[float]:
        """Score on the model's device; ``device`` may name it. As `compute_score`, but without the instructions."""
        asked = {
            "batch_size": batch_size,
            "query_max_length": query_max_length,
            "max_length": max_length,
            "prompt": prompt,
            "normalize": normalize,
        }
        return self._score_as_they_are(sentence_pairs, device, {**kwargs, **asked})[0]

    @property
    def yes_loc(self) -> int:
        """The id whose logit is the score: the first of "Yes"."""
        return self._open().core.tokenizer.tokenize("Yes", 1, False)[0]

    def _first_token(self) -> int | None:
        start = self._special_token("bos_token")
        return None if start == self._special_token("pad_token") else start
