"""Decoder-only rerankers that score after a chosen layer, or several."""

from collections.abc import Iterable
from typing import Any, Unpack

from bge_fast.errors import quoted, warn
from bge_fast.models.inputs import whole_number
from bge_fast.models.keywords import ModelKeywords, PromptedScoring
from bge_fast.models.prompted import Asked, Depth, Layers, PromptedReranker
from bge_fast.models.shapes import Devices, Pair, Pairs
from bge_fast.runtime.background import awaited

Scores = list[float] | list[list[float]]
"""A score a pair; or such a list for each of several layers."""


class LayeredReranker(PromptedReranker):
    """Base of the rerankers with a head for many layers. Open a model with a subclass."""

    cutoff_layers: Layers
    _warned_layers = False

    def compute_score(self, sentence_pairs: Pair | Pairs, **kwargs: Unpack[PromptedScoring]) -> Scores:
        """Score pairs of a query and a passage.

        Args:
            sentence_pairs: one pair, any iterable of pairs, or a table of two columns, which is read by rows.
            **kwargs: ``batch_size``, ``query_max_length``, ``max_length``, ``prompt``, ``normalize``, ``cutoff_layers``
                and, where the class has them, ``compress_layers`` and ``compress_ratio``, in place of the model's.

        Returns:
            A score a pair, in input order, also for one pair. With several cutoff layers such a list for each.

        Raises:
            TypeError, ValueError: an input that cannot be scored; names its index. Nothing was computed.
            NumericsError: a score that is not finite; names the pair.
        """
        return flat_if_one(self._score_instructed(sentence_pairs, kwargs))

    async def acompute_score(self, sentence_pairs: Pair | Pairs, **kwargs: Unpack[PromptedScoring]) -> Scores:
        """Score pairs as `compute_score` does, with its arguments, while the event loop goes on."""
        return await awaited(self.compute_score, sentence_pairs, **kwargs)

    def _depth(self, asked: Asked) -> Depth:
        return {**super()._depth(asked), "cutoffs": self._cutoffs(asked.get("cutoff_layers"))}

    def _cutoffs(self, asked: Layers) -> list[int]:
        """The layers to score after, ascending, each once: of those asked for the ones that have a head.

        Raises:
            ValueError: none has one.
        """
        possible = self._possible_layers()
        chosen = self.cutoff_layers if asked is None else asked
        numbers = layer_numbers("cutoff_layers", possible[-1] if chosen is None else chosen)
        usable = sorted(set(numbers) & set(possible))
        if not usable:
            raise ValueError(f"Your cutoff layers must in [{possible[0]}, {self._layers()}]")
        if len(usable) < len(set(numbers)) and not self._warned_layers:
            self._warned_layers = True
            left = sorted(set(numbers) - set(usable))
            warn(f"{self.model_name_or_path} has no score after the layers {quoted(left)}, which are left out")
        return usable

    def _layers(self) -> int:
        return int(self._open().files.config["num_hidden_layers"])

    def _possible_layers(self) -> range:
        """Layers that have a head."""
        return range(self._setting("start_layer", 8), self._layers() + 1)

    def _setting(self, name: str, default: int) -> int:
        return whole_number(name, self._open().files.config.get(name, default), 1)

    def _check_options(self) -> None:
        super()._check_options()
        if self.cutoff_layers is not None:
            layer_numbers("cutoff_layers", self.cutoff_layers)


def flat_if_one(by_layer: list[list[float]]) -> Scores:
    """The scores of one layer alone, of several a list for each."""
    return by_layer if len(by_layer) > 1 else by_layer[0]


def layer_numbers(name: str, layers: Any) -> list[int]:
    """One layer or several as a list.

    Raises:
        TypeError: not a whole number, or an iterable of these.
    """
    if isinstance(layers, Iterable) and not isinstance(layers, str | bytes):
        return [whole_number(name, layer, None) for layer in layers]
    return [whole_number(name, layers, None)]


class LayerWiseFlagLLMReranker(LayeredReranker):
    """Scores of a decoder with a head of its own for each layer, such as bge-reranker-v2-minicpm-layerwise.

    Args:
        cutoff_layers: score after this layer, or after each of several; layers above are not run. ``None``: after all.

    Other arguments and errors as for `FlagLLMReranker`. Of several layers each has the score of its own head.

    Source: ``FlagEmbedding.LayerWiseFlagLLMReranker`` of FlagEmbedding 1.4.2.
    """

    _family = "layerwise"

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
        cutoff_layers: Layers = None,
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

    def compute_score_single_gpu(
        self,
        sentence_pairs: Pair | Pairs,
        batch_size: int | None = None,
        query_max_length: int | None = None,
        max_length: int | None = None,
        cutoff_layers: Layers = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        use_dataloader: bool = False,
        num_workers: int | None = None,
        device: str | None = None,
        **kwargs: Any,
    ) -> Scores:
        """Score on the model's device; ``device`` may name it. As `compute_score`, but without the instructions."""
        asked = {
            "batch_size": batch_size,
            "query_max_length": query_max_length,
            "max_length": max_length,
            "cutoff_layers": cutoff_layers,
            "prompt": prompt,
            "normalize": normalize,
        }
        return flat_if_one(self._score_as_they_are(sentence_pairs, device, {**kwargs, **asked}))
