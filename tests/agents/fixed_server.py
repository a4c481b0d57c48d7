"""A model server that answers with fixed bytes, for what other servers send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from spec_envs.asgi_server import Served


def sse(*chunks: Any, done: bool = True) -> bytes:
    """The chunks as a stream of events."""
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return (body + ("data: [DONE]\n\n" if done else "")).encode()


def delta(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def said(text: str, finish_reason: str = "stop") -> bytes:
    return sse(delta(content=text), delta(finish_reason))


def calls(*pieces: Any) -> bytes:
    return sse(*(delta(tool_calls=[piece]) for piece in pieces), delta("tool_calls"))


def refusal(message: str, status: int = 400, param: str | None = None) -> tuple[int, bytes]:
    return status, json.dumps({"error": {"message": message, "param": param, "type": "invalid"}}).encode()


class FixedServer:
    """Answers each request with the next of these bodies, or status and body; the last one for ever."""

    def __init__(self, answers: Sequence[Any], content_type: str = "text/event-stream") -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []
        self.content_type = content_type

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.requests.append(json.loads(body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(self.requests[-1])
        status, data = answer if isinstance(answer, tuple) else (200, answer)
        kind = self.content_type if status == 200 and self.requests[-1].get("stream") else "application/json"
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        await send({"type": "http.response.body", "body": data})


@contextmanager
def serving(*answers: Any, content_type: str = "text/event-stream") -> Iterator[tuple[FixedServer, str]]:
    """A server of ``answers``, with its base URL."""
    server = FixedServer(answers, content_type)
    with Served(server) as served:
        yield server, f"{served.address}/v1"
