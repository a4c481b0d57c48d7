"""``ChatModel``: a chat model behind any server that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import re
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from spec_envs import CancelToken, Effect, Usage
from spec_envs.agents.llm.addresses import OPENAI, address_of, checked, public
from spec_envs.agents.llm.endings import Endings, Listener
from spec_envs.agents.llm.event_stream import Framing
from spec_envs.agents.llm.failures import Exchange
from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.parameters import Parameters
from spec_envs.agents.llm.prices import ListPrice, Price, checked_prices, price_of, usage_of
from spec_envs.agents.llm.streamed_answer import Answer, TokenRates
from spec_envs.background_loop import BackgroundLoop
from spec_envs.checks import integer, positive
from spec_envs.closing import Closing
from spec_envs.errors import EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.pickling import MadeAnew

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from spec_envs.agents.llm.messages import Completion

    # A client belongs to the loop on which its connections were opened.
    _Clients = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI]


#: The key that is sent to a server that needs none.
_NO_KEY = "no-key-given"
#: The most tokens that a server's chat template adds to a request.
_TEMPLATE = 256
#: How long to wait for the end of an answer that holds all that matters, in seconds; or the time of two pieces, if
#: that is longer.
_PATIENCE_S = 0.1
#: In a request for an answer in pieces. In a text, there would be backslashes before the quotation marks.
_STREAMS = re.compile(rb'"stream"\s*:\s*true')
#: The answer that the running task waits for, its token, and what is sent and received for it.
_awaited: contextvars.ContextVar[tuple[Answer, CancelToken, Exchange]] = contextvars.ContextVar("awaited")


class ChatModel(MadeAnew, Closing):
    """A chat model behind any server that speaks OpenAI's protocol, with the ``openai`` package as its client.

    Answers are streamed, so that a cancelled call closes its stream and the server stops. The tokens
    written until then are still reported to the call's token; ``docs/llm.md`` says how they are counted.

    The API key is read from the environment when it is needed. ``ChatModel`` keeps no copy of the key, and removes the
    key from the text of errors.

    Args:
        name: The name of the model on its server.
        base_url: The address of the server, such as ``http://localhost:8000/v1``. Default: ``OPENAI_BASE_URL``, or
            else OpenAI's.
        key_variable: The environment variable that holds the key. A server named by ``base_url`` may need none.
        timeout_s: An attempt fails when the server sends nothing for this time, in seconds (> 0, finite).
        max_retries: The number of retries if a server cannot be reached, is busy, or fails before the answer begins.
            Before each retry the client waits for the time in ``Retry-After``, or for a growing time. An answer that
            breaks off later is an error; ``retry(model, attempts=2)`` of ``spec_envs.wrappers.handlers`` retries it.
        prices: Your own prices, by the name of the model. Any other price is the provider's list price, from the
            package ``genai-prices``. For a server that the package does not know, such as your own, the price is
            unknown: tokens are counted as ``Usage.unpriced``, and limits on money refuse the model.
        options: Further parameters of every request, such as ``{"reasoning_effort": "low"}``, but not ``messages``,
            ``model`` or ``stream``. If these options and a request both limit the tokens, the greater limit counts.

    A parameter that the server refuses by name (status 400 or 422) is sent in another form, and the form that works is
    remembered: ``max_tokens`` as ``max_completion_tokens``, or the other way round, while ``stream_options``,
    ``logprobs``, ``temperature`` and ``response_format`` are left out, the last two with a warning. Where a server does
    not stream, the answer is read whole. A dialogue that is refused is sent in another form: the system's message as
    part of the user's (with a warning), ``…`` as the text of a message without text, and other ids of tool calls.

    Raises:
        InvalidConfiguration: An argument is invalid.
    """

    effect: ClassVar[Effect] = Effect.SAMPLE

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        timeout_s: float = 120.0,
        max_retries: int = 2,
        prices: Mapping[str, Price] = MappingProxyType({}),
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise InvalidConfiguration(f"name must be the name of a model, not {name!r:.200}")
        if not isinstance(key_variable, str) or not key_variable:
            raise InvalidConfiguration(
                f"key_variable must be the name of an environment variable, not {key_variable!r}"
            )
        self.name = self.model_name = name
        self.base_url = None if base_url is None else checked("base_url", base_url)
        self._prices = checked_prices(prices)
        self._key_variable = key_variable
        self._timeout_s = positive("timeout_s", timeout_s, finite=True)
        self._max_retries = integer("max_retries", max_retries, least=0)
        self._parameters = Parameters(name, options)
        self._rates = TokenRates()
        self._endings = Endings()
        self._lock = threading.Lock()
        self._closed = False
        clients: _Clients = weakref.WeakKeyDictionary()
        self._clients = clients
        self._background = BackgroundLoop(f"chat-model-{name}", last=lambda: _close_client(clients))

    @functools.cached_property
    def price(self) -> Price | ListPrice | None:
        """The price of a million tokens; ``None`` if it is unknown."""
        return price_of(self.name, self._prices, address_of(self.base_url))

    @property
    def unpriced(self) -> str | None:
        """The name of the model if its price is unknown, and otherwise ``None``."""
        return self.name if self.price is None else None

    def greatest_usage(self, query: ChatRequest) -> Usage | None:
        """The greatest usage that an answer to ``query`` may have.

        ``None`` if there is no limit of tokens, or if the messages hold more than text. A token of the request is taken
        to have at least one character of the request's JSON text.
        """
        limit = self._parameters.limit(query)
        if not limit or not all(isinstance(each.get("content"), str | None) for each in query.messages):
            return None
        return usage_of(self.price, Answer(query, limit).characters_in + _TEMPLATE, limit)

    def __call__(self, query: ChatRequest, cancel: CancelToken | None = None) -> Completion:
        """Return the answer to ``query``; blocks until the answer is complete.

        Raises:
            HandlerFailed: The server cannot be reached, refuses, or breaks off. The message quotes the server.
            InvalidConfiguration: The environment holds no key.
            CallCancelled: The token was cancelled.
            EnvClosed: The model is closed, or was closed during the call.
        """
        token = cancel or CancelToken()
        _check_call(query, token)
        client = self._client(self._background.loop)  # made on this thread, while the loop serves other calls
        token.raise_if_cancelled()
        return self._background.run(self._answered(client, query, token), token)

    async def acall(self, query: ChatRequest, cancel: CancelToken | None = None) -> Completion:
        """Return the answer to ``query``, on the running event loop. Ends when its task is cancelled.

        Raises:
            HandlerFailed: As for a blocking call.
            InvalidConfiguration: As for a blocking call.
        """
        token = cancel or CancelToken()
        _check_call(query, token)
        return await self._answered(self._client(asyncio.get_running_loop()), query, token)

    async def _answered(self, client: AsyncOpenAI, query: ChatRequest, cancel: CancelToken) -> Completion:
        answer = Answer(query, self._parameters.limit(query))
        listener = Listener(query, self._endings.may_leave)
        key, url = client.api_key, str(client.base_url).rstrip("/")
        exchange = Exchange(url, key, self._key_variable, has_key=key != _NO_KEY, timeout_s=self._timeout_s)
        _awaited.set((answer, cancel, exchange))
        failure: str | None = None
        try:
            stream = await self._parameters.send(client.chat.completions.create, query)
            try:
                async with stream:
                    if await _heard_out(stream, answer, listener, cancel):
                        self._endings.heard_out(answer)
            finally:
                await _end(stream)
            if not answer.is_complete:
                failure = exchange.told_incomplete(answer.strange, answer.characters)
        except Exception as error:
            # An error of the client holds the request and so the key. Therefore it is not even kept as the cause.
            failure = exchange.told_error(error)
        finally:
            usage = answer.usage(self.price, self._rates, cancel.now())
            if failure is None or answer.has_begun:  # a request that was refused or never arrived costs nothing
                cancel.spend(usage)
        if failure is not None:
            raise HandlerFailed(f"ChatModel({self.name!r}, base_url={public(url)!r}) gave no answer{failure}")
        return answer.completion(usage)

    def _client(self, loop: asyncio.AbstractEventLoop) -> AsyncOpenAI:
        with self._lock:
            if self._closed:
                raise EnvClosed(f"{self!r} is closed; make a new ChatModel")
            client = self._clients.get(loop)
            if client is None:
                from openai import (  # imported late, since the import takes most of a second
                    AsyncOpenAI,
                    DefaultAsyncHttpxClient,
                )

                client = self._clients[loop] = AsyncOpenAI(
                    api_key=self._key(),
                    base_url=address_of(self.base_url),
                    timeout=self._timeout_s,
                    max_retries=self._max_retries,
                    http_client=DefaultAsyncHttpxClient(event_hooks={"request": [_sent], "response": [_replied]}),
                )
        return client

    def _key(self) -> str:
        key = os.environ.get(self._key_variable, "").strip()
        if not key and address_of(self.base_url) == OPENAI:
            raise InvalidConfiguration(
                f"the environment variable {self._key_variable} must hold the key of {self.name}; "
                f"or pass base_url= to use another server"
            )
        if not (key.isascii() and key.isprintable()):
            raise InvalidConfiguration(f"the environment variable {self._key_variable} does not hold a valid key")
        return key or _NO_KEY

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await _close_client(self._clients)

    def close(self) -> None:
        """Cancel the calls in flight, and close the thread and the connections of blocking calls. Idempotent.

        Connections of other event loops are closed by ``aclose``.
        """
        with self._lock:
            self._closed = True
        self._background.close()

    def __repr__(self) -> str:
        where = "" if self.base_url is None else f", base_url={public(self.base_url)!r}"
        return f"ChatModel({self.name!r}{where})"


def _check_call(query: object, cancel: object) -> None:
    """Raise ``InvalidConfiguration`` for what is no request, or no token."""
    if not isinstance(query, ChatRequest):
        raise InvalidConfiguration(
            f"a model takes a ChatRequest, such as ChatRequest(messages=[{{'role': 'user', 'content': 'Hi!'}}]), not "
            f"{query!r:.200}"
        )
    if not isinstance(cancel, CancelToken):
        raise InvalidConfiguration(f"cancel must be a CancelToken, not {cancel!r:.200}")


async def _end(stream: AsyncIterable[object]) -> None:
    """Run the generators of a closed ``stream`` to their end now; otherwise any thread may collect them later."""
    with contextlib.suppress(Exception):
        async for _ in stream:
            pass


async def _heard_out(stream: AsyncIterable[object], answer: Answer, listener: Listener, cancel: CancelToken) -> bool:
    """Add the pieces of ``stream`` to ``answer``; return whether the answer was read to its end, and not left early."""
    begun: float | None = None
    try:
        async with asyncio.timeout(None) as patience:
            async for chunk in stream:
                now = cancel.now()
                begun = now if begun is None else begun
                answer.add(chunk, now)
                for call in answer.untold_calls():
                    cancel.tell(call)
                if listener.goes_on(answer):
                    break
                if listener.has_heard_all and patience.when() is None:
                    piece_s = (now - begun) / max(answer.pieces, 1)
                    patience.reschedule(asyncio.get_running_loop().time() + max(_PATIENCE_S, 2 * piece_s))
            else:
                return True
    except TimeoutError:
        if not listener.has_heard_all:
            raise
    answer.leave()
    return False


async def _sent(_: object) -> None:
    answer, cancel, exchange = _awaited.get()
    exchange.sent()
    answer.sent(cancel.now())


async def _replied(response: Any) -> None:
    answer, _, exchange = _awaited.get()
    exchange.replied(response.status_code, response.headers, str(response.url))
    if response.is_error:
        answer.refused()
    elif not response.is_redirect and await _wants_pieces(response.request):
        pieces = response.aiter_bytes
        response.aiter_bytes = lambda *size: _Framed(pieces(*size), exchange)


async def _wants_pieces(request: Any) -> bool:
    return _STREAMS.search(await request.aread()) is not None


class _Framed:
    """The pieces of a stream, with its events in the form that the client reads."""

    def __init__(self, pieces: AsyncIterator[bytes], exchange: Exchange) -> None:
        self._pieces = pieces
        self._exchange = exchange
        self._framing: Framing | None = Framing()

    def __aiter__(self) -> _Framed:
        return self

    async def __anext__(self) -> bytes:
        if self._framing is None:
            raise StopAsyncIteration
        try:
            piece = await anext(self._pieces)
            self._exchange.received(piece)
            return self._framing.feed(piece)
        except StopAsyncIteration:
            last, self._framing = self._framing.end(), None
            return last

    async def aclose(self) -> None:
        if isinstance(self._pieces, AsyncGenerator):
            await self._pieces.aclose()


async def _close_client(clients: _Clients) -> None:
    """Close the connections of the running event loop."""
    client = clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.close()
