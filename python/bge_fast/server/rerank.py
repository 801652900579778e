"""Reranking: in the form of text-embeddings-inference, and in that of Cohere and Jina."""

from typing import Any
from uuid import uuid4

import msgspec

from bge_fast.server import bodies
from bge_fast.server.encoding import in_full
from bge_fast.server.limits import Limits
from bge_fast.server.models import Models
from bge_fast.server.refusals import Refusal


async def rerank(models: Models, limits: Limits, asked: bodies.Rerank) -> bytes:
    """Passages by their score for the query, best first; from 0 to 1 unless raw scores are asked for."""
    texts = _texts(asked, limits)
    name, model = models.find(asked.model, "reranker")
    if asked.truncate is False:
        place = "texts" if asked.documents is None else "documents"
        await in_full(model, [(asked.query, text) for text in texts], place)
    best = await model.arank(asked.query, texts, asked.top_n, normalize=not asked.raw_scores, show_progress_bar=False)
    if asked.documents is None:
        return msgspec.json.encode([_scored("score", one, texts, asked.return_text) for one in best])
    results = [_scored("relevance_score", one, texts, False) for one in best]
    if asked.return_documents:
        results = [{**one, "document": {"text": texts[one["index"]]}} for one in results]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return msgspec.json.encode({"id": str(uuid4()), "model": name, "results": results, "meta": meta})


def _texts(asked: bodies.Rerank, limits: Limits) -> list[str]:
    if (asked.texts is None) == (asked.documents is None):
        raise Refusal(422, "send either texts or documents", parameter="documents")
    if asked.texts is not None:
        bodies.bounded(asked.texts, limits.max_batch, "texts")
        return asked.texts
    documents = asked.documents or []
    bodies.bounded(documents, limits.max_batch, "documents")
    return [_text(document, place) for place, document in enumerate(documents)]


def _text(document: bodies.Text, place: int) -> str:
    text = document if isinstance(document, str) else document.get("text")
    if not isinstance(text, str):
        raise Refusal(422, f"documents[{place}] is no text and has none under 'text'", parameter="documents")
    return text


def _scored(score: str, ranked: Any, texts: list[str], with_text: bool) -> dict[str, Any]:
    text = {"text": texts[ranked.position]} if with_text else {}
    return {"index": ranked.position, score: ranked.score, **text}
