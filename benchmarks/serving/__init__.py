"""A model server that speaks OpenAI's protocol and is backed by anything callable: see ``ModelServer``."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from spec_envs.asgi_server import Served
from spec_envs.benchmarks.serving.behaviour import Fault, Pace, QueueRule, RateLimit, ServerStatistics, Slots
from spec_envs.closing import Closing
from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import require
from spec_envs.handling import as_handler
from spec_envs.pickling import NotPicklable

__all__ = ["Fault", "ModelServer", "Pace", "ServerStatistics"]


#: The greatest number of answers that are computed at once.
_THINKERS = 64
_PAIR = 2


class ModelServer(NotPicklable, Closing):
    """A real HTTP server that speaks OpenAI's protocol, so that the whole path can be run without a paid model.

    It answers ``POST /v1/chat/completions`` (also streamed, with tools and log-probabilities), ``GET /v1/models`` and
    ``GET /stats``, which says how many tokens were produced for each request, and how many clients hung up.

    Args:
        model: "chess", "retail" or "search", which understand the prompts of this library's policies and guessers;
            "tools", which calls the tools that it is offered; "MODULE:NAME"; or a handler of ``ChatRequest`` that
            returns a ``Completion``, or the text of one. Coroutine functions run on the server's own event loop.
        name: The name of the model. Default: "chess" and so on, or "model".
        host: Where to listen.
        port: 0 takes a free one.
        pace: How fast the model writes.
        rate_limit: (calls, seconds): more requests in that time are refused with status 429.
        slots: How many requests are answered at once; ``None``: all.
        queue: "fifo": other requests wait for their turn. "drop": a request that finds no free slot takes the oldest
            one, and the connection of the request that had that slot is dropped.

    Raises:
        InvalidConfiguration: There is no such model, the port cannot be had, or another argument is invalid.
        DependencyNotInstalled: The extra ``servers`` is missing.
    """

    def __init__(
        self,
        model: str | Callable[..., Any],
        *,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        pace: Pace | None = None,
        rate_limit: tuple[int, float] | None = None,
        slots: int | None = None,
        queue: QueueRule = "fifo",
    ) -> None:
        require("ModelServer", "servers")
        # Late: starlette is an extra, and `spec-envs --help` imports this module.
        from spec_envs.benchmarks.serving.app import ModelApp
        from spec_envs.benchmarks.serving.models import served_model

        self.name = (model if isinstance(model, str) and ":" not in model else "model") if name is None else name
        if not isinstance(self.name, str) or not self.name:
            raise InvalidConfiguration(f"name must be the name of a model, not {name!r:.200}")
        if not isinstance(pace, Pace | None):
            raise InvalidConfiguration(f"pace must be a Pace, not {pace!r:.200}")
        if not (rate_limit is None or (isinstance(rate_limit, Sequence) and len(rate_limit) == _PAIR)):
            raise InvalidConfiguration(f"rate_limit must be (calls, seconds), not {rate_limit!r:.200}")
        limit = None if rate_limit is None else RateLimit(*rate_limit)
        taken = Slots(slots, queue)
        self._model = served_model(model) if isinstance(model, str) else model
        self._owns_model = isinstance(model, str)
        answer = as_handler(self._model)
        self._executor = ThreadPoolExecutor(_THINKERS, "model-server")
        self._app = ModelApp(answer, self.name, pace or Pace(), limit, taken, self._executor)
        self._served = Served(self._app.asgi, host=host, port=port)

    @property
    def address(self) -> str:
        """The address of the server, such as ``http://127.0.0.1:8000``; ``/stats`` is below it."""
        return self._served.address

    @property
    def base_url(self) -> str:
        """The ``base_url`` for clients."""
        return f"{self.address}/v1"

    @property
    def statistics(self) -> ServerStatistics:
        """The requests and tokens so far."""
        return self._app.counter.statistics()

    def settle(self, timeout_s: float = 10.0) -> ServerStatistics:
        """The statistics once no request is being answered any more, or after ``timeout_s``."""
        self._app.counter.settle(timeout_s)
        return self.statistics

    def fail_next(self, *faults: Fault) -> None:
        """Have the next requests fail, each with one of ``faults``.

        Raises:
            InvalidConfiguration: Something else than a ``Fault`` is given.
        """
        for fault in faults:
            if not isinstance(fault, Fault):
                raise InvalidConfiguration(
                    f"a request fails with a Fault, such as Fault(status=503), not {fault!r:.200}"
                )
        self._app.faults.extend(faults)

    def wait(self) -> None:
        """Block until the server is closed."""
        self._served.wait()

    def close(self) -> None:
        """Stop answering, and close the model if this server made it. Idempotent.

        Waits for answers that are being computed; their tokens (``CancelToken``) are cancelled.
        """
        self._served.close()
        self._executor.shutdown()
        close = getattr(self._model, "close", None)
        if close is not None and self._owns_model:
            close()
