"""The application: which route is answered by what."""

import time
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bge_fast.server import bodies, openai, tei
from bge_fast.server.desk import Desk
from bge_fast.server.facts import info
from bge_fast.server.health import Health
from bge_fast.server.limits import Limits
from bge_fast.server.models import Models
from bge_fast.server.refusals import Refusal, refuse, response_of
from bge_fast.server.rerank import rerank

# The page loads nothing from elsewhere, and talks to this server alone.
_ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


def create_app(models: Iterable[Any] | Mapping[str, Any], limits: Limits | None = None) -> Starlette:
    """An ASGI application that answers OpenAI's, text-embeddings-inference's and Cohere's calls with these models.

    Args:
        models: opened embedders and rerankers. Clients call them by what they were opened by, of a folder its name;
            or by the keys of a mapping. Who names none gets the first of the kind that the route needs.
        limits: how much clients may ask for.

    Raises:
        TypeError, ValueError: something that is no opened model, no model at all, or two of one name.
    """
    desk = Desk(Models(models), limits or Limits())
    app = Starlette(routes=[*_for_models(desk), *_about(desk)], exception_handlers={404: refuse, 405: refuse})
    app.add_exception_handler(Exception, refuse)
    return app


def _for_models(desk: Desk) -> list[Route]:
    ranking = desk.endpoint(bodies.Rerank, rerank)
    endpoints = {
        "/v1/embeddings": desk.endpoint(bodies.Embeddings, openai.embeddings),
        "/embed": desk.endpoint(bodies.Embed, tei.embed),
        "/embed_sparse": desk.endpoint(bodies.Embed, tei.embed_sparse),
        "/embed_all": desk.endpoint(bodies.Embed, tei.embed_all),
        "/tokenize": desk.endpoint(bodies.Tokenize, tei.tokenize),
        "/rerank": ranking,
        "/v1/rerank": ranking,
        "/v2/rerank": ranking,
    }
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()]


def _about(desk: Desk) -> list[Route]:
    health, started = Health(desk.models), int(time.time())
    page = files("bge_fast.server").joinpath("page.html").read_text("utf-8")

    async def alive(request: Request) -> Response:
        failure = await health.failure()
        return Response() if failure is None else response_of(Refusal(503, failure), request.url.path)

    async def listing(_request: Request) -> Response:
        return _json(openai.listing(desk.models, started))

    async def one(request: Request) -> Response:
        try:
            return _json(openai.one(desk.models, request.path_params["name"], started))
        except Refusal as refusal:
            return response_of(refusal, request.url.path)

    async def facts(_request: Request) -> Response:
        return _json(info(desk.models, desk.limits))

    async def metrics(_request: Request) -> Response:
        return Response(desk.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def home(_request: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": _ALLOWED})

    return [
        Route("/health", alive),
        Route("/v1/models", listing),
        Route("/v1/models/{name:path}", one),
        Route("/info", facts),
        Route("/metrics", metrics),
        Route("/", home),
    ]


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
