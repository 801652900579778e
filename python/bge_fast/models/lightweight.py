"""Decoder-only rerankers that score after a chosen layer, of passages that get shorter on the way."""

from typing import Any, Unpack

from bge_fast.models.inputs import whole_number
from bge_fast.models.keywords import ModelKeywords
from bge_fast.models.layered import LayeredReranker, Scores, flat_if_one, layer_numbers
from bge_fast.models.prompted import Asked, Depth, Layers
from bge_fast.models.shapes import Devices, Pair, Pairs


class LightWeightFlagLLMReranker(LayeredReranker):
    """Scores of a decoder that averages tokens of the passage, such as bge-reranker-v2.5-gemma2-lightweight.

    Args:
        cutoff_layers: score after this layer, or after each of several; layers above are not run. ``None``: after all.
        compress_layers: before these layers, runs of the passage's tokens become their mean.
        compress_ratio: tokens of such a run; 1 for no compression.

    Other arguments and errors as for `FlagLLMReranker`. As in FlagEmbedding, the first of the layers asked for has the
    score of the model's first head and so on: the score of a layer depends on which others are asked for.

    Source: ``FlagEmbedding.LightWeightFlagLLMReranker`` of FlagEmbedding 1.4.2.
    """

    DEFAULT_PROMPT = "Predict whether passage B contains an answer to query A."
    _family = "lightweight"
    compress_layers: Layers
    compress_ratio: int | None

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
        compress_layers: Layers = [8],  # noqa: B006 - read only, and FlagEmbedding's default
        compress_ratio: int = 1,
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
        compress_layer: Layers = None,
        compress_layers: Layers = None,
        compress_ratio: int | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        device: str | None = None,
        **kwargs: Any,
    ) -> Scores:
        """Score on the model's device; ``device`` may name it. As `compute_score`, but without the instructions."""
        asked = {
            "batch_size": batch_size,
            "query_max_length": query_max_length,
            "max_length": max_length,
            "cutoff_layers": cutoff_layers,
            "compress_layer": compress_layer,
            "compress_layers": compress_layers,
            "compress_ratio": compress_ratio,
            "prompt": prompt,
            "normalize": normalize,
        }
        return flat_if_one(self._score_as_they_are(sentence_pairs, device, {**kwargs, **asked}))

    def _possible_layers(self) -> range:
        return range(self._setting("start_layer", 28), self._layers() + 1, self._setting("layer_sep", 28))

    def _depth(self, asked: Asked) -> Depth:
        layers, ratio = self._compression(asked)
        return {**super()._depth(asked), "compress_layers": layers, "compress_ratio": ratio}

    def _compression(self, asked: Asked) -> tuple[list[int], int]:
        layers, ratio = asked.get("compress_layers"), asked.get("compress_ratio")
        layers = self.compress_layers if layers is None else layers
        # FlagEmbedding's older name, which wins.
        if (older := asked.get("compress_layer")) is not None:
            layers = older
        ratio = self.compress_ratio if ratio is None else ratio
        if layers is None or ratio is None:
            return [], 1
        numbers = layer_numbers("compress_layers", layers)
        return [layer for layer in numbers if layer > 0], whole_number("compress_ratio", ratio, 1)

    def _check_options(self) -> None:
        super()._check_options()
        self._compression({})
