"""`bge-fast serve`: a process that answers, and ends without losing what it accepted."""

import json
import signal
import socket
import threading
import time

import httpx
import pytest

from bge_fast.commands.cli import main
from tests.support.checkpoints import checkpoint
from tests.support.serving import serving

TINY, RERANKER = str(checkpoint("tiny-bert")), str(checkpoint("tiny-reranker"))


def test_models_are_served_until_sigterm():
    with serving(TINY, RERANKER, str(checkpoint("tiny-m3"))) as server:
        listing = httpx.get(f"{server.url}/v1/models").json()["data"]
        assert [one["kind"] for one in listing] == ["embedder", "reranker", "m3"]
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert server.url.startswith("http://127.0.0.1:")
        assert server.stop() == 0
        assert "stopped" in server.process.stderr.read()


def test_ctrl_c_is_an_end_too():
    with serving(TINY) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0


@pytest.mark.parametrize("keep_alive", [True, False])
def test_sigterm_loses_no_accepted_request(keep_alive):
    """Clients ask without a pause; each hears an answer, or is not let in at all."""
    answered, refused, lost = [], [], []

    def ask(url):
        with httpx.Client(headers={} if keep_alive else {"Connection": "close"}, timeout=30) as client:
            while True:
                try:
                    answered.append(client.post(f"{url}/embed", json={"inputs": ["a wing " * 50] * 4}).status_code)
                except httpx.ConnectError:
                    refused.append(1)
                    return
                except httpx.HTTPError as error:
                    lost.append(repr(error))
                    return

    with serving(TINY) as server:
        threads = [threading.Thread(target=ask, args=(server.url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        while len(answered) < 100:
            time.sleep(0.01)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
    assert lost == []
    assert set(answered) == {200}
    assert len(refused) == 8


def test_the_call_of_a_client_that_hangs_up_ends():
    texts = [f"{number} " + "boundary layer " * 200 for number in range(500)]
    body = json.dumps({"inputs": texts}).encode()
    with serving(TINY, "--threads", "1") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            while "under_way 1.0" not in httpx.get(f"{server.url}/metrics").text:
                time.sleep(0.001)
        while 'status="499"} 1.0' not in (metrics := httpx.get(f"{server.url}/metrics").text):
            assert 'status="200"} 1.0' not in metrics, "it went on to its end"
            time.sleep(0.001)
        assert "under_way 0.0" in metrics


def test_half_a_request_does_not_keep_the_server():
    with serving(TINY) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            assert httpx.get(f"{server.url}/health").status_code == 200
        assert server.stop() == 0


@pytest.mark.slow
def test_a_client_that_does_not_read_does_not_keep_the_server():
    body = json.dumps({"inputs": [f"word {number}" for number in range(2000)]}).encode()
    with serving(TINY) as server, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = server.url.removeprefix("http://").split(":")
        deaf.connect((host, int(port)))
        deaf.sendall((b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body) * 4)
        while 'route="/embed",status="200"' not in httpx.get(f"{server.url}/metrics").text:
            time.sleep(0.01)
        assert server.stop() == 0


def test_a_second_ctrl_c_is_an_end_at_once_and_says_so():
    """The request's body does not come, for which a first one would wait half a minute."""
    with serving(TINY) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            while "under_way 1.0" not in httpx.get(f"{server.url}/metrics").text:
                time.sleep(0.001)
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.1)  # signals of one kind that meet are one
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(10) == 0
        assert "stopped at once" in server.process.stderr.read()


def test_a_taken_port_is_an_error_before_a_model_opens(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "nowhere", "--port", str(taken.getsockname()[1])]) == 1
    assert "choose another with --port" in capsys.readouterr().err


def test_wrong_words(capsys):
    assert main(["serve"]) == 1
    assert "name a model" in capsys.readouterr().err
    assert main(["serve", TINY, "--port", "65536"]) == 2
    assert main(["serve", TINY, "--host", "no.such.host.invalid", "--port", "0"]) == 1
