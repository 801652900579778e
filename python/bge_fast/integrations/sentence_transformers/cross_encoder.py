"""`CrossEncoder`: sentence-transformers' reranker, as programs call it, without torch."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bge_fast import AbsReranker
from bge_fast.errors import ModelFormatError, quoted
from bge_fast.integrations.opening import open_reranker
from bge_fast.integrations.plain import scores_of
from bge_fast.integrations.sentence_transformers.calls import check_call, old_name, tensor
from bge_fast.integrations.sentence_transformers.opened import checked_arguments

Scores = NDArray[np.float32]
_DEFAULT_BATCH_SIZE = 32


class CrossEncoder:
    """A BGE reranker with the methods of ``sentence_transformers.CrossEncoder``, and its numbers.

    Scores go through the logistic function unless the checkpoint or ``activation_fn`` says otherwise, as there. A pair
    over ``max_length`` is cut as FlagEmbedding cuts it: the passage, behind a query of up to three quarters.

    Args:
        model_name_or_path: a hub id, a folder, or a reranker of bge_fast.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:0"``; by default what ``devices=None`` takes.
        max_length: most tokens of a pair; by default what the model takes.
        activation_fn: called with the logits ``(n,)``, as a torch tensor where it is torch's, else as numpy's array.
        **arguments: of the model class, such as ``precision=`` or ``threads=``, and ``model_class=``.

    Raises:
        TypeError: an argument of sentence-transformers that cannot be honoured; says what to do instead.
        BGEFastError: the model does not open; see `bge_fast.errors`.
    """

    def __init__(
        self,
        model_name_or_path: Any,
        *,
        device: str | None = None,
        cache_folder: str | None = None,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Callable[[Any], Any] | None = None,
        **arguments: Any,
    ) -> None:
        if num_labels not in (None, 1):
            raise TypeError(f"num_labels={quoted(num_labels)}: rerankers of bge-fast have one")
        opening = {"devices": device, "cache_dir": cache_folder, **checked_arguments(arguments)}
        given = {name: value for name, value in opening.items() if value is not None}
        self.model: Any = open_reranker(model_name_or_path, **given)
        opened_here = not isinstance(model_name_or_path, AbsReranker)
        limit = self.model.info()["max_length"]
        self.max_length = max_length or (limit if opened_here else self.model.max_length)
        self.activation_fn = activation_fn or _declared_activation(self.model)

    @old_name
    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[Any], Any] | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Score pairs.

        Args:
            inputs: one pair, or any iterable of pairs; ``sentences=`` is an older name of it.
            batch_size: most pairs of one ONNX Runtime call; the default, 32, leaves it to the model.
            show_progress_bar: ``True`` a bar, ``False`` none, ``None`` one where somebody watches, after two seconds.
            activation_fn: ``None`` takes the object's.
            apply_softmax: without effect: there is one score a pair.
            convert_to_numpy: ``False`` gives a list of torch tensors and needs torch.
            convert_to_tensor: give one torch tensor; needs torch.
            device: the model's own, or ``None``.
            prompt_name, prompt, pool, chunk_size: only their defaults; a call that asks for more is an error.

        Returns:
            float32 ``(n,)`` in input order; one number for one pair.

        Raises:
            TypeError, ValueError: an input or an option that cannot be taken.
            ImportError: torch tensors without torch.
        """
        check_call(self.device, device, pool, chunk_size, kwargs)
        if prompt or prompt_name:
            raise ValueError(
                "prompts are not supported; query_instruction_for_rerank= of the model goes before queries"
            )
        single = _is_pair(inputs)
        pairs = [inputs] if single else list(inputs)
        activation = self.activation_fn if activation_fn is None else activation_fn
        scores = _activated(self._logits(pairs, batch_size, show_progress_bar), activation)
        result = scores[0] if single else scores
        if convert_to_tensor or not convert_to_numpy:
            result = tensor(result)
            return result if convert_to_tensor or single else list(result)
        return result

    def rank(
        self,
        query: str,
        documents: Iterable[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = _DEFAULT_BATCH_SIZE,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[Any], Any] | None = None,
        device: str | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """Sort documents by their score for one query.

        Returns:
            For each of the best ``top_k`` a dict ``{"corpus_id", "score"}``, with ``return_documents`` its ``"text"``
            too; best first, of equal scores the earlier document first.
        """
        listed = list(documents)
        pairs = [(query, document) for document in listed]
        scores = self.predict(
            pairs,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            activation_fn,
            device=device,
            pool=pool,
            chunk_size=chunk_size,
        ).tolist()
        order = sorted(range(len(scores)), key=lambda place: -scores[place])[:top_k]
        texts = [{"text": listed[place]} if return_documents else {} for place in order]
        return [{"corpus_id": place, "score": scores[place], **text} for place, text in zip(order, texts, strict=True)]

    @property
    def num_labels(self) -> int:
        """One."""
        return 1

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.model.tokenizer

    @property
    def device(self) -> str:
        """The device in use; a ``str``, where sentence-transformers has a ``torch.device``."""
        return str(self.model.info()["device"])

    def eval(self) -> Self:
        """Do nothing: the model never trains."""
        return self

    def __repr__(self) -> str:
        return f"CrossEncoder({self.model!r})"

    def _logits(self, pairs: list[Any], batch_size: int, show_progress_bar: bool | None) -> Scores:
        options: dict[str, Any] = {"batch_size": None if batch_size == _DEFAULT_BATCH_SIZE else batch_size}
        options |= {"max_length": self.max_length, "normalize": False, "show_progress_bar": show_progress_bar}
        return np.asarray(scores_of(self.model, pairs, **options), np.float32)


def _is_pair(inputs: Any) -> bool:
    return isinstance(inputs, list | tuple) and len(inputs) > 0 and isinstance(inputs[0], str)


def _activated(logits: Scores, activation: Callable[[Any], Any]) -> Scores:
    if type(activation).__module__.partition(".")[0] == "torch":
        return np.asarray(activation(tensor(logits)), np.float32)
    return np.asarray(activation(logits), np.float32)


def _logistic(logits: Scores) -> Scores:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _identity(logits: Scores) -> Scores:
    return logits


_ACTIVATIONS: Mapping[str, Callable[[Scores], Scores]] = {"Sigmoid": _logistic, "Identity": _identity}


def _declared_activation(model: Any) -> Callable[[Scores], Scores]:
    """What ``config.json`` names, or the logistic function.

    Raises:
        ModelFormatError: a function that is not known here.
    """
    config = vars(model.model.config)
    named = (config.get("sentence_transformers") or {}).get("activation_fn")
    named = named or config.get("sbert_ce_default_activation_function") or "Sigmoid"
    name = str(named).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise ModelFormatError(f"{model!r} names the activation {quoted(named)}; pass activation_fn=")
    return _ACTIVATIONS[name]
