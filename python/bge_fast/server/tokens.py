"""Token ids that clients send, see and are told the number of."""

from collections.abc import Sequence
from typing import Any

from bge_fast.server.refusals import Refusal


def used(model: Any, texts: list[str], *, query: bool) -> int:
    """Tokens of all texts as they were sent, special tokens included; of each no more than the model takes."""
    length = model.query_max_length if query else model.passage_max_length
    limit = min(length or model.tokenizer.model_max_length, model.tokenizer.model_max_length)
    return sum(min(count, limit) for count in model.tokenizer.count_tokens(texts))


def texts_of_ids(tokenizer: Any, rows: Sequence[list[int]]) -> list[str]:
    """The texts that these ids of the model's own vocabulary stand for.

    Raises:
        Refusal: ids that this tokenizer would not make of any text, such as those of another vocabulary.
    """
    return [_text_of_ids(tokenizer, ids, place) for place, ids in enumerate(rows)]


def _text_of_ids(tokenizer: Any, ids: list[int], place: int) -> str:
    if not all(isinstance(one, int) and 0 <= one < len(tokenizer) for one in ids):
        raise _foreign(place, f"has something that is no id from 0 to {len(tokenizer) - 1}")
    bare = _without_frame(ids, tokenizer.encode(""))
    text: str = tokenizer.decode(bare, clean_up_tokenization_spaces=False)
    if tokenizer.encode(text, add_special_tokens=False) != bare:
        raise _foreign(place, "is not what this model's tokenizer makes of a text")
    return text


def _without_frame(ids: list[int], frame: list[int]) -> list[int]:
    """Ids without the special tokens that stand around every text."""
    if not frame or len(ids) < len(frame):
        return ids
    first, last = frame[:-1], frame[-1:]
    return ids[len(first) : -1] if ids[: len(first)] == first and ids[-1:] == last else ids


def _foreign(place: int, what: str) -> Refusal:
    reason = f"input[{place}] {what}. Token ids must be of its own vocabulary, not of OpenAI's; send texts instead"
    hint = "LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False"
    return Refusal(422, f"{reason} ({hint})", parameter="input")


def described(tokenizer: Any, text: str, special: bool) -> list[dict[str, Any]]:
    """Each token of a text. Where it stands in the text is not known."""
    ids = tokenizer.encode(text, add_special_tokens=special)
    specials = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(ids)
    facts = zip(ids, tokens, strict=True)
    return [
        {"id": one, "text": token or "", "special": one in specials, "start": None, "stop": None}
        for one, token in facts
    ]
