"""What clients send, and how it is read."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from bge_fast.server.refusals import Refusal

Text = str | dict[str, object]
"""A document as Cohere and Jina take them: a text, or an object with one under ``text``."""
Inputs = str | list[str]
Dimensions = Annotated[int, Meta(ge=1)]
Body = TypeVar("Body", bound=msgspec.Struct)


class Embeddings(msgspec.Struct):
    """``POST /v1/embeddings``."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: str | None = None
    dimensions: Dimensions | None = None
    input_type: str | None = None


class Embed(msgspec.Struct):
    """``POST /embed``, ``/embed_sparse`` and ``/embed_all``."""

    inputs: Inputs
    truncate: bool | None = None
    normalize: bool | None = None
    prompt_name: str | None = None
    dimensions: Dimensions | None = None
    model: str | None = None


class Tokenize(msgspec.Struct):
    """``POST /tokenize``."""

    inputs: Inputs
    add_special_tokens: bool = True
    model: str | None = None


class Rerank(msgspec.Struct):
    """``POST /rerank``: with ``texts`` as text-embeddings-inference takes it, with ``documents`` as Cohere and Jina."""

    query: str
    texts: list[str] | None = None
    documents: list[Text] | None = None
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = False
    model: str | None = None


def read(body: bytes, of: type[Body]) -> Body:
    """A body as what the route takes.

    Raises:
        Refusal: 400 where it is no JSON, 422 where it is JSON of something else; says what is wrong where.
    """
    try:
        return msgspec.json.decode(body, type=of)
    except msgspec.ValidationError as error:
        raise Refusal(422, f"the body is not what this route takes: {error}") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is no JSON: {error}") from error


def bounded(texts: Sequence[object], most: int, name: str) -> None:
    """See that a request has some texts and not too many.

    Raises:
        Refusal: 422 for none, 413 for too many.
    """
    if not texts:
        raise Refusal(422, f"{name} is empty", parameter=name)
    if len(texts) > most:
        reason = f"{name} has {len(texts)} texts, more than the {most} that one request may have. Send several requests"
        raise Refusal(413, reason, parameter=name)


def listed(inputs: Inputs, most: int) -> list[str]:
    """The texts of ``inputs``, which may be one."""
    texts = [inputs] if isinstance(inputs, str) else inputs
    bounded(texts, most, "inputs")
    return texts
