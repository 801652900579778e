"""What is too much, what is broken, what is not there: each refused in its own way, and the server goes on."""

import asyncio
import threading

import httpx
import pytest

from bge_fast import FlagModel, InternalError
from bge_fast.server import Limits, create_app
from tests.support.checkpoints import checkpoint
from tests.support.serving import Client


class Held(FlagModel):
    """Gives no vector before it is told to."""

    async def aencode_corpus(self, *texts, **options):
        self.cancelled = False
        self.entered.set()
        try:
            await self.leave.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return await super().aencode_corpus(*texts, **options)


class Broken(FlagModel):
    """Fails at every call."""

    async def aencode_corpus(self, *_texts, **_options):
        raise InternalError("the graph fell over")


@pytest.fixture(scope="module")
def small(models):
    return Client(create_app({"tiny": models["tiny-bert"]}, Limits(max_batch=2, max_body=1000)))


@pytest.mark.parametrize(("path", "name"), [("/v1/embeddings", "input"), ("/embed", "inputs")])
@pytest.mark.parametrize("body", [b"", b"{", b'{"input": "\\ud800"}', b"\xff\xfe", b'{"x": ' + b"[" * 900])
def test_what_is_no_json(small, path, name, body):
    answer = small.post(path, content=body.replace(b"input", name.encode()))
    assert answer.status_code == 400
    assert "no JSON" in str(answer.json()["error"])


def test_what_is_nested_without_end(client):
    assert client.post("/embed", content=b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}").status_code == 400


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed", "/tokenize"])
def test_too_many_texts(small, path):
    answer = small.post(path, {"input" if "v1" in path else "inputs": ["a"] * 3})
    assert answer.status_code == 413
    assert "3 texts" in str(answer.json()["error"])


def test_a_body_that_says_that_it_is_too_large(small):
    answer = small.post("/embed", {"inputs": "a" * 1000})
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["error"]


def test_a_body_that_turns_out_to_be_too_large(small):
    taken = []

    async def parts():
        for part in range(100):
            taken.append(part)
            yield b" " * 100

    answer = small.post("/embed", content=parts())
    assert answer.status_code == 413
    assert len(taken) < 20, "no more is read than the limit"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/embed", 405), ("POST", "/nowhere", 404)])
def test_routes_that_are_not_there(small, method, path, status):
    answer = small.request(method, path)
    assert answer.status_code == status
    assert answer.json().keys() == {"error", "error_type"}
    assert small.request(method, "/v1" + path).json()["error"]["message"]


def test_a_wrong_method_is_told_the_right_ones(small):
    assert small.request("PUT", "/embed").headers["allow"] == "POST"
    assert set(small.request("OPTIONS", "/v1/models").headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_a_model_that_fails(small):
    client = Client(create_app([Broken(str(checkpoint("tiny-bert")))]))
    answer = client.post("/embed", {"inputs": "a"})
    assert answer.status_code == 424
    assert answer.json() == {"error": "the graph fell over", "error_type": "backend"}
    assert client.post("/v1/embeddings", {"input": "a"}).json()["error"]["type"] == "server_error"


def test_no_more_requests_than_the_limit_are_under_way():
    model = Held(str(checkpoint("tiny-bert")))

    async def run():
        model.entered, model.leave = asyncio.Event(), asyncio.Event()
        transport = httpx.ASGITransport(create_app([model], Limits(max_waiting=2)))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            held = [asyncio.create_task(client.post("/embed", json={"inputs": "a"})) for _ in range(2)]
            await model.entered.wait()
            await asyncio.sleep(0.05)
            refused = await client.post("/embed", json={"inputs": "a"})
            elsewhere = await client.get("/v1/models")
            model.leave.set()
            answers = [await one for one in held]
            after = await client.post("/embed", json={"inputs": "a"})
        return refused, elsewhere, answers, after

    refused, elsewhere, answers, after = asyncio.run(run())
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["error_type"] == "overloaded"
    assert [one.status_code for one in (elsewhere, *answers, after)] == [200] * 4


def test_a_client_that_goes_away_ends_its_call():
    model = Held(str(checkpoint("tiny-bert")))
    app = create_app([model], Limits(max_waiting=1))

    async def run():
        model.entered, model.leave = asyncio.Event(), asyncio.Event()
        messages = [{"type": "http.request", "body": b'{"inputs": "a"}'}, {"type": "http.disconnect"}]

        async def receive():
            if len(messages) == 1:
                await model.entered.wait()
            return messages.pop(0)

        async def send(_message):
            pass

        scope = {"type": "http", "method": "POST", "path": "/embed", "headers": [], "query_string": b""}
        await app(scope, receive, send)

    asyncio.run(run())
    assert model.cancelled
    assert 'bge_fast_requests_total{route="/embed",status="499"} 1.0' in Client(app).get("/metrics").text
    assert "under_way 0.0" in Client(app).get("/metrics").text


def test_many_at_once_get_their_own(client, models):
    texts = [f"text {number}" for number in range(64)]
    found = {}

    def call(number):
        found[number] = client.post("/embed", {"inputs": texts[number]}).json()[0]

    threads = [threading.Thread(target=call, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = models["tiny-bert"].encode(texts)
    assert all(found[number] == pytest.approx(row.tolist(), abs=1e-6) for number, row in enumerate(wanted))


@pytest.mark.parametrize("wrong", [{"max_waiting": 0}, {"max_batch": 2.5}, {"max_body": True}])
def test_limits_are_numbers(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


def test_models_of_an_application(models):
    with pytest.raises(TypeError, match="str"):
        create_app(["BAAI/bge-m3"])
    with pytest.raises(ValueError, match="at least one"):
        create_app([])
    with pytest.raises(ValueError, match="two models"):
        create_app([models["tiny-bert"], models["tiny-bert"]])


def test_a_model_of_another_owner_is_not_there(models):
    tiny = models["tiny-bert"]
    client = Client(create_app({"BAAI/tiny": tiny, "folder": tiny, "one/same": tiny, "other/same": tiny}))
    asked = ("BAAI/tiny", "tiny", "BAAI/folder", "folder", "one/same", "evil/tiny", "same", "")
    answers = {name: client.post("/embed", {"inputs": "a", "model": name}) for name in asked}
    assert [answer.status_code for answer in answers.values()] == [200] * 5 + [404] * 3
    assert "there is no model 'evil/tiny'" in answers["evil/tiny"].json()["error"]
    assert "'same' means several models" in answers["same"].json()["error"]
