"""``ChatModel``: a chat model behind any server that speaks OpenAI's protocol."""

from __future__ import annotations

import contextvars
import os
import re
import threading
import urllib.parse
import weakref
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from spec_envs._background import BackgroundLoop
from spec_envs.agents.llm._answer import Answer, TokenRates
from spec_envs.agents.llm.prices import PRICES, Price, price_of
from spec_envs.calls import Effect
from spec_envs.errors import EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken

if TYPE_CHECKING:
    import asyncio

    from openai import AsyncOpenAI

    from spec_envs.agents.llm.messages import ChatRequest, Completion

    # A client belongs to the loop that its connections were opened on.
    _Clients = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI]

__all__ = ["ChatModel"]

#: What a server that needs no key is sent as one.
_NO_KEY = "no-key-given"
#: Shorter keys are placeholders, such as "x"; in errors they are looked for as words only.
_KEY_LENGTH = 8
#: What every request has of its own.
_NOT_OPTIONS = frozenset({"messages", "model", "stream"})
#: The answer that the running task waits for.
_awaited: contextvars.ContextVar[tuple[Answer, CancelToken]] = contextvars.ContextVar("awaited")


class ChatModel:
    """A chat model behind any server that speaks OpenAI's protocol, with the ``openai`` package as its client.

    Answers are streamed, so that a cancelled call closes its stream and the server stops. What had been written until
    then is spent on the call's token all the same; see ``docs/llm.md`` for how it is counted.

    The key is read from the environment when it is needed. It is not kept here, and what a server says in an error is
    shown without it.

    Args:
        name: The model, as its server calls it.
        base_url: Of the server, such as ``http://localhost:8000/v1``. Default: ``OPENAI_BASE_URL``, or else OpenAI's.
        key_variable: The environment variable that holds the key. A server named by ``base_url`` may need none.
        timeout_s: An attempt fails when the server is silent for so long, in seconds (> 0).
        max_retries: How often the client tries again where a server cannot be reached, is busy or fails before the
            answer begins. It waits as the server asks (``Retry-After``), or longer each time. An answer that breaks off
            later is an error; ``retry(model, attempts=2)`` of ``spec_envs.wrappers.handlers`` would ask again.
        prices: What tokens cost, by model; a model that is not in it costs nothing.
        options: Further parameters of every request, such as ``{"reasoning_effort": "low"}``; not those that every
            request has of its own: ``messages``, ``model``, ``stream``.

    Raises:
        InvalidConfiguration: An argument makes no sense.
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
        prices: Mapping[str, Price] = PRICES,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        if not name:
            raise InvalidConfiguration(f"a model needs a name, and {name!r} is none")
        if not 0 < timeout_s < float("inf"):
            raise InvalidConfiguration(f"timeout_s must be above 0 seconds and finite, not {timeout_s!r}")
        if type(max_retries) is not int or max_retries < 0:
            raise InvalidConfiguration(f"max_retries must be an integer of at least 0, not {max_retries!r}")
        if taken := _NOT_OPTIONS & options.keys():
            raise InvalidConfiguration(f"options must not hold {', '.join(sorted(taken))}: every request has its own")
        if base_url is not None and not _is_url(base_url):
            raise InvalidConfiguration(f"base_url must be like http://localhost:8000/v1, not {_public(base_url)!r}")
        self.name = name
        self.base_url = base_url
        self.price = price_of(name, prices)
        self._key_variable = key_variable
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        self._options = dict(options)
        self._rates = TokenRates()
        self._lock = threading.Lock()
        self._closed = False
        clients: _Clients = weakref.WeakKeyDictionary()
        self._clients = clients
        self._background = BackgroundLoop(f"chat-model-{name}", last=lambda: _close_client(clients))

    def __call__(self, query: ChatRequest, cancel: CancelToken) -> Completion:
        """The answer to ``query``; blocks until it is there.

        Raises:
            HandlerFailed: The server cannot be reached, refuses, or breaks off; the message says what it said.
            InvalidConfiguration: There is no key in the environment.
            CallCancelled: The token was cancelled.
            EnvClosed: The model was closed, before or meanwhile.
        """
        client = self._client(self._background.loop)  # made here: meanwhile the loop serves others
        cancel.raise_if_cancelled()
        return self._background.run(self._answered(client, query, cancel), cancel)

    async def acall(self, query: ChatRequest, cancel: CancelToken) -> Completion:
        """The answer to ``query``, on the running event loop; ends when its task is cancelled.

        Raises:
            HandlerFailed: As above.
            InvalidConfiguration: As above.
        """
        import asyncio

        return await self._answered(self._client(asyncio.get_running_loop()), query, cancel)

    async def _answered(self, client: AsyncOpenAI, query: ChatRequest, cancel: CancelToken) -> Completion:
        answer = Answer(query)
        _awaited.set((answer, cancel))
        failure: str | None = None
        try:
            stream = await self._open(client, query)
            async with stream:
                async for chunk in stream:
                    answer.add(chunk, cancel.now())
            if not answer.is_complete:
                failure = "the answer ended before it was complete"
        except Exception as error:
            # An error of the client holds the request, and so the key: nothing of it may stay, not even as the cause.
            failure = _told(error, client.api_key)
        finally:
            usage = answer.usage(self.price, self._rates, cancel.now())
            if failure is None or answer.has_begun:  # a request that was refused, or never arrived, costs nothing
                cancel.spend(usage)
        if failure is not None:
            raise HandlerFailed(f"{self!r} gave no answer: {failure}")
        return answer.completion(usage)

    async def _open(self, client: AsyncOpenAI, query: ChatRequest) -> Any:
        parameters: dict[str, Any] = {
            "model": self.name,
            "messages": list(query.messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "extra_body": self._options or None,
        }
        if query.tools:
            parameters["tools"] = list(query.tools)
        if query.output == "json":
            parameters["response_format"] = {"type": "json_object"}
        if query.max_tokens is not None:
            # OpenAI's reasoning models refuse the old name, and many other servers do not know the new one.
            is_openai = "openai.com" in str(client.base_url)
            parameters["max_completion_tokens" if is_openai else "max_tokens"] = query.max_tokens
        if query.temperature is not None:
            parameters["temperature"] = query.temperature
        if query.logprobs:
            parameters["logprobs"] = True
        return await client.chat.completions.create(**parameters)

    def _client(self, loop: asyncio.AbstractEventLoop) -> AsyncOpenAI:
        with self._lock:
            if self._closed:
                raise EnvClosed(f"{self!r} was closed; make a new one")
            client = self._clients.get(loop)
            if client is None:
                from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # late: it takes most of a second

                client = self._clients[loop] = AsyncOpenAI(
                    api_key=self._key(),
                    base_url=self.base_url,
                    timeout=self._timeout_s,
                    max_retries=self._max_retries,
                    http_client=DefaultAsyncHttpxClient(event_hooks={"request": [_sent], "response": [_replied]}),
                )
        return client

    def _key(self) -> str:
        key = os.environ.get(self._key_variable, "").strip()
        if not key and self.base_url is None and not os.environ.get("OPENAI_BASE_URL"):
            raise InvalidConfiguration(
                f"the environment variable {self._key_variable} must hold the key of {self.name}; "
                f"or name another server with base_url="
            )
        if not (key.isascii() and key.isprintable()):
            raise InvalidConfiguration(f"what the environment variable {self._key_variable} holds is no key")
        return key or _NO_KEY

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await _close_client(self._clients)

    def close(self) -> None:
        """Cancel the calls under way and end the thread and connections of blocking calls. Idempotent.

        A loop of your own has connections of its own: ``aclose`` closes those.
        """
        with self._lock:
            self._closed = True
        self._background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "" if self.base_url is None else f", base_url={_public(self.base_url)!r}"
        return f"ChatModel({self.name!r}{where})"


def _is_url(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or a host that is none
        return False


def _public(url: str) -> str:
    """``url`` without a password, and without parameters, which may hold a key."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]


async def _sent(_: object) -> None:
    answer, cancel = _awaited.get()
    answer.sent(cancel.now())


async def _replied(response: Any) -> None:
    if response.is_error:
        _awaited.get()[0].refused()


async def _close_client(clients: _Clients) -> None:
    """Close the connections of the running event loop."""
    import asyncio

    client = clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.close()


def _told(error: Exception, key: str) -> str:
    """What went wrong, in words that hold no key."""
    status = getattr(error, "status_code", None)
    texts = [str(error)] + ([str(error.__cause__)] if error.__cause__ is not None else [])
    text = f"{type(error).__name__}{f' (status {status})' if status else ''}: {': '.join(filter(None, texts))}"
    pattern = re.escape(key) if len(key) >= _KEY_LENGTH else rf"(?<!\w){re.escape(key)}(?!\w)"
    return re.sub(pattern, "[key]", text)[:1000]
