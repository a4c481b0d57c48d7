"""The ASGI application of a model server: routes, streams, and clients that hang up."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from spec_envs.agents.llm import Completion
from spec_envs.benchmarks.serving import wire
from spec_envs.benchmarks.serving.behaviour import AnsweredRequest, Counter, Fault, Pace, RateLimit, Slots
from spec_envs.benchmarks.serving.wire import Asked, BadRequest, read_request
from spec_envs.handling import CancelToken, Handler, is_async

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send


class ModelApp:
    """Answers requests for chat completions with the answers of ``model``, at the speed of ``pace``."""

    def __init__(
        self,
        model: Handler,
        name: str,
        pace: Pace,
        rate_limit: RateLimit | None,
        slots: Slots,
        executor: Executor,
    ) -> None:
        self.counter = Counter()
        #: The faults of the next requests, one for each.
        self.faults: collections.deque[Fault] = collections.deque()
        self._model = model
        self._name = name
        self._pace = pace
        self._rate_limit = rate_limit
        self._slots = slots
        self._executor = executor  # of models that are no coroutine functions: a thread for each answer not yet begun
        self._created = int(time.time())
        routes = [
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._one_model),
            Route("/stats", self._stats),
        ]
        self.asgi = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_place})

    # -- routes --------------------------------------------------------------------------------------------------

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def _one_model(self, request: Request) -> Response:
        if request.path_params["name"] != self._name:
            text = f"the model {request.path_params['name']!r} does not exist; this server has {self._name!r}"
            return _error(text, 404, param="model", code="model_not_found")
        return JSONResponse(self._card())

    def _card(self) -> dict[str, Any]:
        return {"id": self._name, "object": "model", "created": self._created, "owned_by": "spec-envs"}

    async def _stats(self, request: Request) -> Response:
        return JSONResponse(dataclasses.asdict(self.counter.statistics()))

    async def _complete(self, request: Request) -> Response | Answering:
        if self._rate_limit is not None and (wait_s := self._rate_limit.wait_s()) > 0:
            self.counter.refused()
            return _error("too many requests; come back later", 429, wait_s, code="rate_limit_exceeded")
        body = await request.body()  # a client that hangs up earlier does not count
        fault = self.faults.popleft() if self.faults else Fault()
        served = self.counter.begin()
        if fault.status is not None:
            self.counter.end(served, "failed")
            return _error("fail_next() has requested this failure", fault.status, fault.retry_after_s)
        try:
            asked = read_request(body, self._name)
        except Exception as error:
            self.counter.end(served, "failed")
            return _refusal(error)
        return Answering(self, asked, fault, served)

    # -- answers -------------------------------------------------------------------------------------------------

    def head(self, served: AnsweredRequest) -> dict[str, Any]:
        """The fields that every chunk of an answer has."""
        return {"id": f"chatcmpl-{served.number}", "created": int(time.time()), "model": self._name}

    async def tokens(self, asked: Asked, fault: Fault, served: AnsweredRequest) -> AsyncGenerator[wire.Token | str]:
        """Yield each token of the answer when its time has come, and at the end the finish reason.

        Raises:
            Exception: Whatever the model raises.
        """
        async with self._slots.taken() as dropped:
            async for token in self._paced_tokens(asked, fault, served, dropped):
                yield token

    async def _paced_tokens(
        self, asked: Asked, fault: Fault, served: AnsweredRequest, dropped: asyncio.Event
    ) -> AsyncGenerator[wire.Token | str]:
        loop = asyncio.get_running_loop()
        start, (first_s, next_s) = loop.time(), self._pace.times(asked.request)
        self.counter.read(served, wire.tokens_in(asked.request))
        answer = await self._ask(asked)
        tokens, reason = wire.written(asked.request, wire.stopped(answer, asked.stop), self._pace.reasoning_tokens)
        for number, token in enumerate(tokens):
            if number == fault.stall_after:
                await asyncio.Event().wait()
            if number == fault.drop_after:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(start + first_s + number * next_s):
                    await dropped.wait()
                return
            self.counter.produced(served)
            yield token
        yield reason

    async def _ask(self, asked: Asked) -> Completion:
        cancel = CancelToken()
        try:
            if is_async(self._model):
                answer = await self._model(asked.request, cancel)
            else:
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(self._executor, self._model, asked.request, cancel)
        finally:
            cancel.cancel()
        if isinstance(answer, str):
            return Completion(text=answer)
        if not isinstance(answer, Completion):
            raise TypeError(f"the model must return a Completion or a text, not {answer!r:.200}")
        return answer


class Answering:
    """The response to a request for completions: sent token by token, and abandoned when the client hangs up."""

    def __init__(self, app: ModelApp, asked: Asked, fault: Fault, served: AnsweredRequest) -> None:
        self._app = app
        self._asked = asked
        self._served = served
        self._tokens = app.tokens(asked, fault, served)
        self._head = app.head(served)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        outcome = "hung up"
        try:
            with contextlib.suppress(_HungUp):
                outcome = await _until_hang_up(lambda: self._answer(scope, receive, send), receive)
        finally:
            await self._tokens.aclose()  # gives back its slot
            self._app.counter.end(self._served, outcome)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> str:
        written: list[wire.Token] = []
        streams, logprobs = self._asked.stream, self._asked.request.logprobs
        try:
            async for token in self._tokens:
                if streams and not written:
                    await self._begin_stream(send)
                if isinstance(token, str):
                    usage = wire.usage_of(self._served.tokens_in, written)
                    if streams:
                        await self._end_stream(send, token, usage if self._asked.with_usage else None)
                    else:
                        body = wire.whole(self._head, written, token, usage, logprobs)
                        await JSONResponse(body)(scope, receive, send)
                    return "done"
                written.append(token)
                if streams:
                    told = wire.logprobs_of([token], logprobs)
                    await _event(send, wire.chunk(self._head, token.delta, logprobs=told))
        except Exception as error:  # the model's: nothing was sent yet
            await _refusal(error)(scope, receive, send)
            return "failed"
        if not streams:
            await _begin(send, b"application/json")
        elif not written:
            await self._begin_stream(send)
        return "failed"  # the answer is incomplete, so the server drops the connection

    async def _begin_stream(self, send: Send) -> None:
        await _begin(send, b"text/event-stream; charset=utf-8")
        await _event(send, wire.chunk(self._head, {"role": "assistant", "content": ""}))

    async def _end_stream(self, send: Send, reason: str, usage: Mapping[str, Any] | None) -> None:
        await _event(send, wire.chunk(self._head, {}, reason))
        if usage is not None:
            await _event(send, wire.chunk(self._head, {}) | {"choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


class _HungUp(Exception):
    """The client is gone."""


async def _until_hang_up(work: Callable[[], Coroutine[Any, Any, str]], receive: Receive) -> str:
    """The outcome of ``work``, which is cancelled when the client hangs up; ``_HungUp`` if the client hung up first."""
    working, listening = asyncio.ensure_future(work()), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _HungUp
        return working.result()
    finally:
        for task in (working, listening):
            task.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)


async def _begin(send: Send, content_type: bytes) -> None:
    headers = [(b"content-type", content_type), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _event(send: Send, data: Any) -> None:
    body = f"data: {json.dumps(data)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _error(
    message: str, status: int, retry_after_s: float | None = None, *, param: str | None = None, code: str | None = None
) -> JSONResponse:
    headers = {}
    if retry_after_s is not None:
        headers = {"retry-after": str(math.ceil(retry_after_s)), "retry-after-ms": str(math.ceil(retry_after_s * 1e3))}
    return JSONResponse(wire.error_body(message, status, param=param, code=code), status, headers)


def _refusal(error: Exception) -> JSONResponse:
    if isinstance(error, BadRequest):
        return _error(str(error), error.status, param=error.param, code=error.code)
    return _error(f"{type(error).__name__}: {error}", 500)


async def _no_such_place(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    here = "POST /v1/chat/completions, GET /v1/models and GET /stats"
    return _error(f"there is no {request.method} {request.url.path} here, but {here}", error.status_code)
