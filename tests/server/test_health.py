"""`/health` is a real pass, and `/metrics` counts."""

import asyncio
import re

import httpx

from bge_fast import FlagModel
from bge_fast.server import create_app
from tests.support.checkpoints import checkpoint
from tests.support.serving import Client


class Counted(FlagModel):
    """Counts its passes, and can be made to fail."""

    passes = 0
    broken = False

    async def aencode_queries(self, *texts, **options):
        self.passes += 1
        if self.broken:
            raise RuntimeError("no more")
        return await super().aencode_queries(*texts, **options)


def health_of(app, times):
    async def run():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await asyncio.gather(*(client.get("/health") for _ in range(times)))

    return asyncio.run(run())


def test_one_pass_a_second_for_everybody():
    model = Counted(str(checkpoint("tiny-bert")))
    app = create_app([model])
    assert [one.status_code for one in health_of(app, 20)] == [200] * 20
    assert model.passes == 1
    health_of(app, 1)
    assert model.passes == 1, "the last pass was less than a second ago"


def test_a_model_without_results():
    model = Counted(str(checkpoint("tiny-bert")))
    model.broken = True
    (answer,) = health_of(create_app([model]), 1)
    assert answer.status_code == 503
    assert answer.json() == {"error": "tiny-bert gives no result: no more", "error_type": "unhealthy"}


def test_all_kinds_of_models(client):
    assert client.get("/health").status_code == 200


def test_metrics(models):
    client = Client(create_app({"tiny": models["tiny-bert"]}))
    for body in ({"inputs": "a"}, {"inputs": "b"}, {}):
        client.post("/embed", body)
    text = client.get("/metrics").text
    assert 'bge_fast_requests_total{route="/embed",status="200"} 2.0' in text
    assert 'bge_fast_requests_total{route="/embed",status="422"} 1.0' in text
    assert 'bge_fast_request_seconds_count{route="/embed"} 3.0' in text
    assert re.search(r"^process_resident_memory_bytes \d", text, re.MULTILINE)
