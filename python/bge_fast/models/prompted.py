"""What decoder-only rerankers share: pairs with a prompt behind them, scores after layers."""

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from bge_fast.errors import ModelFormatError, quoted
from bge_fast.models.decoder import Decoder
from bge_fast.models.inputs import characters, to_pairs
from bge_fast.models.keywords import PromptedScoring, refuse_unknown_keywords
from bge_fast.models.progress import progress_bar
from bge_fast.models.reranker import AbsReranker, Ranked, as_floats
from bge_fast.models.shapes import Pair, Pairs, Texts
from bge_fast.runtime.background import awaited

Layers = int | Iterable[int] | None
Asked = Mapping[str, Any]
"""Keywords of a call."""


class Depth(TypedDict):
    """After which layers there are scores, and where passages are compressed."""

    cutoffs: list[int]
    compress_layers: list[int]
    compress_ratio: int


class PromptedReranker(Decoder, AbsReranker):
    """Base of the decoder-only rerankers. Open a model with a subclass."""

    DEFAULT_PROMPT = (
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing "
        "a prediction of either 'Yes' or 'No'."
    )
    prompt: str | None

    def rank(
        self, query: str, passages: Texts, top_k: int | None = None, **kwargs: Unpack[PromptedScoring]
    ) -> list[Ranked]:
        """Sort passages by their score for one query, after one layer. Otherwise as `FlagReranker.rank`.

        Raises:
            ValueError: there would be scores after several layers.
        """
        refuse_unknown_keywords("rank", kwargs, PromptedScoring)
        layers = self._depth(kwargs)["cutoffs"]
        if len(layers) > 1:
            raise ValueError(f"rank sorts by the scores of one layer; cutoff_layers are {layers}. Pass one of them")
        return self._ranked(query, passages, top_k, kwargs)

    async def arank(
        self, query: str, passages: Texts, top_k: int | None = None, **kwargs: Unpack[PromptedScoring]
    ) -> list[Ranked]:
        """Sort passages as `rank` does, with its arguments, while the event loop goes on."""
        return await awaited(self.rank, query, passages, top_k, **kwargs)

    def _score_instructed(self, sentence_pairs: Pair | Pairs, asked: Asked) -> list[list[float]]:
        refuse_unknown_keywords("compute_score", asked, PromptedScoring)
        return self._score(self.get_detailed_inputs(sentence_pairs), asked)

    def _score_as_they_are(self, sentence_pairs: Pair | Pairs, device: str | None, asked: Asked) -> list[list[float]]:
        """Without the instructions."""
        refuse_unknown_keywords("compute_score_single_gpu", asked, PromptedScoring)
        self._check_device(device)
        return self._score([list(pair) for pair in to_pairs(sentence_pairs)[0]], asked)

    def _score(self, pairs: list[list[str]], asked: Asked) -> list[list[float]]:
        """After each layer that is asked for, a score a pair."""
        limits = self._limits(asked.get("batch_size"), asked.get("query_max_length"), asked.get("max_length"))
        normalize, depth = self._normalizes(asked.get("normalize")), self._depth(asked)
        prompt, start = self._prompt(asked.get("prompt")), self._first_token()
        queries, passages = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        with progress_bar(len(pairs), asked.get("show_progress_bar")) as progress:
            scores = self._open().core.score_prompted(
                queries, passages, prompt=prompt, start=start, **limits, **depth, progress=progress
            )
        return [as_floats(layer, normalize) for layer in scores.T]

    def _depth(self, asked: Asked) -> Depth:
        """All layers, and passages as they are."""
        return {"cutoffs": [], "compress_layers": [], "compress_ratio": 1}

    def _prompt(self, asked: Any) -> str:
        prompt = self.prompt if asked is None else asked
        if prompt is None:
            return self.DEFAULT_PROMPT
        if not isinstance(prompt, str):
            raise TypeError(f"prompt must be a str, got {quoted(prompt)}")
        return characters(prompt)

    def _first_token(self) -> int | None:
        """What stands before all: the token for beginnings.

        Raises:
            ModelFormatError: the tokenizer has none.
        """
        start = self._special_token("bos_token")
        if start is None:
            raise ModelFormatError(
                f"{self.model_name_or_path}: the tokenizer has no bos_token, which {type(self).__name__} puts before "
                "each pair. Name it in tokenizer_config.json"
            )
        return start

    def _special_token(self, role: str) -> int | None:
        tokenizer = self._open().core.tokenizer
        token = dict(tokenizer.special_tokens).get(role)
        return None if token is None else tokenizer.token_id(token)

    def _check_options(self) -> None:
        super()._check_options()
        self._prompt(None)
