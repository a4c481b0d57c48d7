"""What ``ChatModel`` tells when a server gives no answer: the model, the address, what came instead, what to do."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from spec_envs.agents import ChatGuesser, ChatPolicy
from spec_envs.agents.llm import ChatModel, ChatRequest, Completion, GuessPrompt, PolicyPrompt, Price, ToolRequest
from spec_envs.agents.llm.event_stream import Framing
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from tests.agents.scripted import asking

JSON, EVENTS, PAGE = "application/json", "text/event-stream", "text/html; charset=utf-8"
BEGUN = 'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
HTML = (
    "<!doctype html><html><head><style>b {}</style><title>Oops</title></head><body><b>Bad &amp; gone</b></body></html>"
)
KEY = "sk-planted-0123456789"


class BytesServer:
    """Reads a request, sends ``reply`` as it is, and closes the connection, over and over."""

    def __init__(self) -> None:
        self.reply = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection, contextlib.suppress(OSError):
                if not _read_request(connection):
                    return
                connection.sendall(self.reply.replace(b"{here}", self.address.encode()))

    def close(self) -> None:
        with socket.create_connection(self._listening.getsockname()):
            pass
        self._thread.join()
        self._listening.close()


def _read_request(connection: socket.socket) -> bool:
    read = b""
    while b"\r\n\r\n" not in read:
        if not (piece := connection.recv(65536)):
            return bool(read)
        read += piece
    length = re.search(rb"content-length: (\d+)", read, re.IGNORECASE)
    body = len(read.partition(b"\r\n\r\n")[2])
    while length and body < int(length[1]):
        body += len(connection.recv(65536))
    return True


@pytest.fixture(scope="module")
def server() -> Iterator[BytesServer]:
    server = BytesServer()
    yield server
    server.close()


def reply(status: int, body: str | bytes = b"", kind: str | None = JSON, *headers: str, length: bool = True) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", "connection: close", *headers]
    lines += [f"content-length: {len(data)}"] * length + [f"content-type: {kind}"] * (kind is not None)
    return "\r\n".join([*lines, "", ""]).encode() + data


FAILURES = {
    "a wrong key": (
        reply(401, '{"error": {"message": "Wrong key"}}'),
        r"status 401 \(Unauthorized\): Wrong key; check the key",
    ),
    "a wrong key, by Google": (
        reply(400, '[{"error": {"message": "API key not valid"}}]'),
        "API key not valid; check the key",
    ),
    "forbidden, with a page": (reply(403, HTML, PAGE), r"403 \(Forbidden\): Oops Bad & gone; check the key"),
    "an unknown path": (
        reply(404, '{"detail": "Not Found"}'),
        r"\(Not Found\): Not Found; check the name of the model, and base_url",
    ),
    "an unknown path, as text": (
        reply(404, "404 page not found\n", "text/plain"),
        ": 404 page not found; check the name",
    ),
    "nothing to say": (reply(404), r"status 404 \(Not Found\); check the name"),
    "a wrong method": (reply(405, "No", "text/plain"), r"status 405 \(Method Not Allowed\): No; check the name"),
    "a proxy's user": (reply(407, HTML, PAGE), "407 .*the proxy wants a user"),
    "too much": (reply(413, HTML, PAGE), "413 .*shorten the messages"),
    "too much for the model": (
        reply(400, '{"error": "maximum context length is 8"}'),
        "length is 8; shorten the messages",
    ),
    "a refused body": (
        reply(422, '{"detail": [{"loc": ["body"], "msg": "no"}]}'),
        r'"msg": "no".*; change the request',
    ),
    "busy": (reply(429, "slow", None), "429 .*: slow; make fewer calls at once"),
    "busy for long": (reply(429, "", JSON, "retry-after: 200"), "429 .*; Retry-After: 200; .* at most 120 s"),
    "busy until a date": (
        reply(503, "", JSON, "retry-after: Wed, 21 Oct 2099 07:28:00 GMT"),
        "Oct 2099 07:28:00 GMT; .* call again",
    ),
    "used up": (
        reply(429, '{"error": {"message": "No.", "code": "insufficient_quota"}}'),
        ": No; the account is used up",
    ),
    "a fault": (reply(500), r"status 500 \(Internal Server Error\); see the server's log"),
    "a gateway's page": (reply(502, HTML, PAGE), r"status 502 \(Bad Gateway\): Oops Bad & gone; see the server's log"),
    "overloaded": (reply(529, '{"error": {"type": "x", "message": "Full"}}'), "status 529: Full; see the server's log"),
    "a long fault": (reply(500, "e" * 10_000, None), r"\): e{300}…;"),
    "bytes": (reply(500, bytes(range(256)), None), "�"),
    "a fault that cannot be read": (
        reply(500, b"\x1f\x8bno", JSON, "content-encoding: gzip"),
        "status 500, and DecodingError|status 500, and the body",
    ),
    "an answer that cannot be read": (
        reply(200, b"\x1f\x8bno", EVENTS, "content-encoding: gzip"),
        "the body cannot be decoded",
    ),
    "moved": (
        reply(302, "", None, "location: /login"),
        "302.*a redirection to {here}/login; if that is the server, give this address",
    ),
    "moved for ever": (
        reply(301, "", None, "location: http://127.0.0.1:9/v1/chat/completions"),
        r"refused .*a redirection to http://127.0.0.1:9/v1;",
    ),
    "moved nowhere": (reply(302), r"status 302 \(Found\)"),
    "an error as text": (reply(200, '{"error": "boom"}'), "the server reports an error: boom"),
    "an error in the stream": (
        reply(200, BEGUN + 'data: {"error": {"message": "boom"}}\n\n', EVENTS),
        "an error: boom; retry",
    ),
    "an error without a text": (
        reply(200, BEGUN + 'data: {"error": {"code": 7}}\n\n', EVENTS),
        'an error: {"code": 7}',
    ),
    "an event for an error": (reply(200, 'event: error\ndata: {"message": "boom"}\n\n', EVENTS), "an error: boom"),
    "a text": (
        reply(200, "boom", "text/plain"),
        "complete; it is not in OpenAI's form: a body of the type 'text/plain': boom;",
    ),
    "a text for a stream": (reply(200, "boom", EVENTS), "'text/event-stream': boom; check that base_url"),
    "a page": (reply(200, HTML, PAGE), "'text/html; charset=utf-8': Oops Bad & gone; check that base_url"),
    "a page without a type": (reply(200, HTML, None), "a body without a type: Oops Bad & gone"),
    "another protocol": (reply(200, '{"message": {"content": "Hi"}}'), "'content': 'Hi'"),
    "nothing": (reply(200, "", EVENTS), "it is empty: a body of the type 'text/event-stream'"),
    "no content": (reply(204), "it is empty"),
    "the end alone": (reply(200, "data: [DONE]\n\n", EVENTS), r"form: .*: data: \[DONE\]"),
    "no choice": (reply(200, '{"choices": []}'), r'form: .*: {"choices": \[\]}'),
    "no object": (reply(200, "[]"), r"form: .*: \[\]"),
    "half an answer": (reply(200, BEGUN + "data: [DONE]\n\n", EVENTS), "complete, after 2 characters; retry"),
    "half an answer, and no length": (
        b"HTTP/1.0 200 OK\r\n\r\n" + BEGUN.encode(),
        "complete, after 2 characters; retry",
    ),
    "an event of nonsense": (
        reply(200, BEGUN + "data: {boom\n\n", EVENTS),
        "an event of the stream is no JSON: {boom;",
    ),
    "a chunk that is cut": (
        reply(200, "9\r\ndata: ", EVENTS, "transfer-encoding: chunked", length=False),
        "broke off: peer closed",
    ),
    "a length that is cut": (
        reply(200, BEGUN, EVENTS, "content-length: 999", length=False),
        "broke off: peer closed .*retry",
    ),
    "another language": (
        b"-ERR unknown command\r\n\r\n",
        "the connection broke off: .*; check the server and base_url",
    ),
    "no word": (b"", "the connection broke off: .*; check the server and base_url"),
    "a very long line": (reply(200, "x" * 1_000_000, EVENTS), "'text/event-stream': x{300}…;"),
    "letters of two bytes": (reply(200, BEGUN.encode("utf-16"), EVENTS), "is not in OpenAI's form"),
    "the key": (reply(401, f'{{"error": "no {KEY} here"}}'), r"no \[key\] here"),
    "the key in a page": (reply(200, f"<html><b>{KEY}</b></html>", PAGE), r"\[key\]"),
    "the key at the end of what is kept": (reply(200, f"<html><b {'a' * (4086 - 15)}>{KEY}", PAGE), "'text/html"),
}


@pytest.fixture(scope="module")
def model(server: BytesServer) -> Iterator[ChatModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("NO_PROXY", "*")
        with ChatModel("m", base_url=f"{server.address}/v1", max_retries=0, timeout_s=30) as model:
            yield model


@pytest.fixture(scope="module")
def runner(model: ChatModel) -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner
        runner.run(model.aclose())


@pytest.mark.parametrize(("sent", "told"), FAILURES.values(), ids=FAILURES)
def test_what_came_and_what_to_do_is_told(
    server: BytesServer, model: ChatModel, runner: asyncio.Runner, sent: bytes, told: str
) -> None:
    server.reply = sent
    with pytest.raises(HandlerFailed) as raised:
        model(asking())
    text = str(raised.value)
    with pytest.raises(HandlerFailed, match=re.escape(text)):
        runner.run(model.acall(asking()))
    assert text.startswith(f"ChatModel('m', base_url='{server.address}/v1') gave no answer")
    assert re.search(told.replace("{here}", server.address), text), text
    assert KEY[:6] not in text and "\n" not in text and len(text) < 900


def test_answers_in_odd_forms_are_answers(server: BytesServer, model: ChatModel) -> None:
    end = 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    chunks = "".join(f"{len(each):x}\r\n{each}\r\n" for each in (BEGUN, end)) + "0\r\n\r\n"
    answers = {
        "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + (BEGUN + end).encode(),
        "chunks": reply(200, chunks, EVENTS, "transfer-encoding: chunked", length=False),
        "a comment of a million letters": reply(200, f": {'x' * 1_000_000}\n\n{BEGUN}{end}", EVENTS),
    }
    for name, sent in answers.items():
        server.reply = sent
        assert model(asking()).text == "Hi", name
    server.reply = reply(200, '{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}')
    assert model(asking()).text == ""


def test_a_redirection_that_keeps_the_request_is_followed(server: BytesServer) -> None:
    moved = reply(308, "", None, f"location: {server.address}/v1/chat/completions")
    end = 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    first = BytesServer()
    first.reply, server.reply = moved, reply(200, BEGUN + end, EVENTS)
    with ChatModel("m", base_url=f"{first.address}/v1", max_retries=0) as model:
        assert model(asking()).text == "Hi"
    first.close()


def test_all_requests_are_told(server: BytesServer) -> None:
    server.reply = reply(503, "", JSON, "retry-after: 0.01")
    with ChatModel("m", base_url=f"{server.address}/v1", max_retries=2) as model:
        with pytest.raises(
            HandlerFailed, match="gave no answer, after 3 requests: status 503 .*Retry-After: 0.01; see"
        ):
            model(asking())


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("http://127.0.0.1:9/v1", r"the connection was refused .*; start the server, or check base_url"),
        (
            "http://no.such.host.invalid/v1",
            "the host 'no.such.host.invalid' is unknown .*; check base_url, and the network",
        ),
    ],
)
def test_where_there_is_no_server(base_url: str, told: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with ChatModel("m", base_url=base_url, max_retries=0) as model:
        with pytest.raises(HandlerFailed, match=told):
            model(asking())


def test_a_proxy_is_named(server: BytesServer, monkeypatch: Any) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://me:pass@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://me:pass@127.0.0.1:9")
    with ChatModel("m", base_url="http://models.example/v1", max_retries=0) as model:
        with pytest.raises(HandlerFailed, match="refused .*, through the proxy http://127.0.0.1:9, which") as raised:
            model(asking())
    assert "pass" not in str(raised.value)


def test_a_key_that_is_missing_is_named(server: BytesServer, monkeypatch: Any) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    server.reply = reply(401, '{"error": "Who are you?"}')
    with ChatModel("m", base_url=f"{server.address}/v1", key_variable="MY_KEY", max_retries=0) as model:
        with pytest.raises(HandlerFailed, match=r"Who are you\?; check the key: MY_KEY holds none"):
            model(asking())


def test_a_line_without_an_end_is_given_up(monkeypatch: Any) -> None:
    framing = Framing()
    piece = b"x" * (1 << 20)
    with pytest.raises(ValueError, match="a line of the answer has more than 67,108,864 bytes"):
        for _ in range(70):
            assert framing.feed(piece) == b""


@pytest.mark.parametrize("value", ["localhost:8000/v1", "http://", " "])
def test_the_address_in_the_environment(value: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", value)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    wrong = "OPENAI_API_KEY must hold the key" if not value.strip() else "OPENAI_BASE_URL must be like http://localhost"
    with ChatModel("m") as model, pytest.raises(InvalidConfiguration, match=wrong):
        model(asking())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": 5}, "name must be the name of a model, not 5"),
        ({"name": " "}, "name must be the name of a model"),
        ({"key_variable": ""}, "key_variable must be the name of an environment variable, not ''"),
        ({"base_url": 5}, "base_url must be like http://localhost:8000/v1, not 5"),
        ({"base_url": b"http://x"}, "base_url must be like"),
        ({"base_url": " http://x"}, "base_url must be like"),
        (
            {"base_url": "http://me:pass@x/v1/chat/completions/"},
            "base_url must end before /chat/completions, .*'http://x/v1',",
        ),
        ({"prices": Price(1, 2)}, "prices must be a mapping from names of models to Price, such as"),
        ({"prices": {"m": (1, 2)}}, r"a Price for each name, such as .*, not 'm': \(1, 2\)"),
        ({"prices": {5: Price(1, 2)}}, "a Price for each name"),
        ({"options": 5}, "options must be a mapping from names to values, such as .*, not 5"),
        ({"options": {5: 1}}, "options must be a mapping"),
        ({"options": {"seed": {1}}}, r"options must hold what JSON can hold, not seed=\{1\}"),
        ({"options": {"max_tokens": -1}}, "max_tokens of the options must be .*, not -1"),
    ],
)
def test_models_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        ChatModel(**{"name": "m", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"messages": "Hi"}, r"messages must be a list of chat messages, such as \[\{'role': .*, not 'Hi'"),
        ({"messages": []}, "messages must be a list of chat messages"),
        ({"messages": {"role": "user"}}, "messages must be a list of chat messages"),
        ({"messages": ["Hi"]}, r"messages\[0\] is 'Hi'"),
        ({"tools": "look"}, "tools must be a list of tools in OpenAI's form"),
        ({"tools": [len]}, r"tools\[0\] is <built-in function len>"),
        ({"output": "yaml"}, "output must be 'text' or 'json', not 'yaml'"),
        ({"max_tokens": "5"}, "max_tokens must be None or an integer of at least 1, not '5'"),
        ({"max_tokens": -1}, "max_tokens must be None or an integer of at least 1, not -1"),
        ({"temperature": "hot"}, "temperature must be finite and at least 0, not 'hot'"),
        ({"temperature": float("nan")}, "temperature must be finite"),
        ({"logprobs": "no"}, "logprobs must be True or False, not 'no'"),
        ({"one_call": 1}, "one_call must be True or False, not 1"),
        ({"until": "("}, r"until must be a regular expression, not '\(': missing \)"),
        ({"until": 5}, "until must be a regular expression, not 5"),
    ],
)
def test_requests_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        ChatRequest(**{"messages": [{"role": "user", "content": "Hi!"}], **options})


def _said(_: Any) -> Completion:
    return Completion(text="Hi!")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Completion(text=None), "text of a Completion must be text, not None"),  # type: ignore[arg-type]
        (lambda: Completion(tool_calls=[{"name": "f"}]), r"must be a tuple of ToolRequest, not \[\{'name'"),  # type: ignore[arg-type]
        (lambda: Completion(usage=5), "usage must be a Usage, not 5"),  # type: ignore[arg-type]
        (lambda: ToolRequest("f", {"x": 1}), r"arguments of a ToolRequest must be text, not \{'x': 1\}"),  # type: ignore[arg-type]
        (lambda: PolicyPrompt(request=len, read="x"), "read of a PolicyPrompt must be a function, not 'x'"),  # type: ignore[arg-type]
        (lambda: GuessPrompt(request=5, read=len), "request of a GuessPrompt must be a function, not 5"),  # type: ignore[arg-type]
        (lambda: ChatPolicy(_said, "go"), "the prompt must be \"chess\", .* or a PolicyPrompt, not 'go'"),
        (lambda: ChatPolicy(_said, len), "or a PolicyPrompt, not <built-in"),  # type: ignore[arg-type]
        (lambda: ChatPolicy("gpt-5", "chess"), r"model must be a ChatModel\('gpt-5'\), or a function .*, not 'gpt-5'"),  # type: ignore[arg-type]
        (lambda: ChatGuesser(_said, 5), "or a mapping from names of handlers to GuessPrompt, not 5"),  # type: ignore[arg-type]
        (lambda: ChatGuesser(_said, {"policy": _said}), "prompts must be a mapping .*, not 'policy': <function"),  # type: ignore[dict-item]
        (lambda: ChatGuesser(5, "chess"), "model must be a ChatModel"),  # type: ignore[arg-type]
        (lambda: ChatModel("m", base_url="http://x")("Hi!"), "a model takes a ChatRequest, such as .*, not 'Hi!'"),  # type: ignore[arg-type]
        (lambda: ChatModel("m", base_url="http://x")(asking(), "x"), "cancel must be a CancelToken, not 'x'"),  # type: ignore[arg-type]
        (lambda: asyncio.run(ChatModel("m", base_url="http://x").acall("Hi!")), "a model takes a ChatRequest"),  # type: ignore[arg-type]
    ],
)
def test_what_is_of_another_type_is_named(make: Any, message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        make()
