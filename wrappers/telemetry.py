"""OpenTelemetry (``otel=``): episodes, calls, commits and discards as spans. Needs the extra ``otel``.

Names and attributes are those of OpenTelemetry's conventions for generative AI where there are some:

===================  ==================================================================================================
span                 is
===================  ==================================================================================================
``invoke_agent …``   an episode, or an agent run; all others are its children
``chat …``           a call of a handler that prompts a model
``execute_tool …``   a call of a tool, or any other call that reads or writes
``call …``           any other call
``commit …``         how long the episode took until a response was final; a link leads to the call that gave it
``discard …``        a moment at which a call was given up; a link leads to that call
===================  ==================================================================================================

A call has ``spec_envs.speculative`` (it was made ahead of time), ``spec_envs.node`` and ``spec_envs.parent`` (its place
in the tree), and ``spec_envs.outcome``: ``committed`` for the branch that the episode took, otherwise ``wasted``,
``cancelled`` or ``failed``. A span is exported once its outcome is known. Texts of queries and responses are not sent.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, Protocol

from spec_envs.errors import InvalidConfiguration, UnknownHandler
from spec_envs.extras import needed
from spec_envs.handling import Handler, declared
from spec_envs.wrappers.speculation.trace import TraceEvent
from spec_envs.wrappers.speculation.transitions import AnyEnv

__all__ = ["TracerProvider"]

_log = logging.getLogger(__name__)
Arguments = ParamSpec("Arguments")
#: Handlers that are tools by name; other handlers are tools if their effect says so.
_TOOLS = frozenset({"tool", "fetch", "measure"})
_ENDS = {"stopped": "cancelled", "failed": "failed"}
#: The number of calls that may wait for their outcome (older calls count as "wasted"), and that can be linked to.
_MOST = 10_000


class TracerProvider(Protocol):
    """The type of ``otel``: a tracer provider of OpenTelemetry."""

    def get_tracer(self, instrumenting_module_name: str, /, *_: Any, **__: Any) -> Any:
        """Return a tracer."""


class Spans:
    """One episode after another, with calls that are known by a number.

    Args:
        otel: ``True``: the program's own tracer provider; or another provider.
        agent: The name of the agent, for ``gen_ai.agent.name``.

    Raises:
        InvalidConfiguration: ``otel`` is neither ``True`` nor a tracer provider.
        DependencyNotInstalled: OpenTelemetry is missing; the message has the command that installs it.
    """

    def __init__(self, otel: bool | TracerProvider, agent: str) -> None:
        with needed("otel=True", "otel"):
            from opentelemetry import trace  # late: an extra
        if otel is not True and not callable(getattr(otel, "get_tracer", None)):
            raise InvalidConfiguration(f"otel must be True, False or a TracerProvider, not {otel!r}")
        self._api = trace
        provider: Any = None if otel is True else otel
        self._tracer = trace.get_tracer("spec_envs", tracer_provider=provider)
        self._agent = agent
        self._epoch_ns: int | None = None
        self._episode: Any = None
        self._contexts: dict[int | None, Any] = {}
        self._calls: dict[int | None, Any] = {}
        self._ended: dict[int | None, float] = {}

    def begin(self, now: float) -> None:
        """An episode begins, inside of the caller's current span; the one before ends."""
        self.end(now)
        about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self._agent}
        self._episode = self._span(f"invoke_agent {self._agent}", now, about)

    def end(self, now: float) -> None:
        """The episode ends: calls that the episode has not used by now were wasted."""
        for number in list(self._ended):
            self.settle(number, "wasted")
        if self._episode is not None:
            self._episode.end(self._ns(now))
        self._episode = None

    def close(self, now: float) -> None:
        """End all spans; no events follow."""
        self.end(now)
        for number in list(self._calls):
            self._ended[number] = now
            self.settle(number, "cancelled")

    def started(self, now: float, number: int, name: str, attributes: Mapping[str, Any]) -> None:
        """Call ``number`` begins."""
        span = self._calls[number] = self._span(name, now, attributes)
        self._contexts[number] = span.get_span_context()
        if len(self._contexts) > _MOST:
            del self._contexts[next(iter(self._contexts))]

    def ended(self, now: float, number: int, outcome: str, attributes: Mapping[str, Any], error: str | None) -> None:
        """Call ``number`` has ended; ``outcome`` is ``wasted`` where it may still become ``committed``."""
        span = self._calls.get(number)
        if span is None:
            return
        span.set_attributes(attributes)
        if error is not None:
            span.set_attribute("error.type", error.partition("(")[0])
            span.set_status(self._api.StatusCode.ERROR, error)
        self._ended[number] = now
        if outcome == "wasted":
            if len(self._ended) > _MOST:
                self.settle(next(iter(self._ended)), outcome)
        else:
            self.settle(number, outcome)

    def commit(
        self, name: str, since: float, now: float, attributes: Mapping[str, Any], links: Sequence[Any] = ()
    ) -> None:
        """From ``since`` to ``now`` the episode waited for a response, which is final."""
        self._span(f"commit {name}", since, attributes, links).end(self._ns(now))

    def discard(self, name: str, now: float, links: Sequence[Any] = ()) -> None:
        """A branch was given up; another one may still use the response of its call."""
        self._span(f"discard {name}", now, {}, links).end(self._ns(now))

    def links_to(self, number: int | None) -> list[Any]:
        """Return the link to call ``number``, in a list, unless the call is long gone."""
        found = self._contexts.get(number)
        return [] if found is None else [self._api.Link(found)]

    def settle(self, number: int | None, outcome: str) -> None:
        """Settle the outcome of call ``number``, if the call has ended and its outcome is not settled yet."""
        if number in self._ended:
            span, ended_at = self._calls.pop(number), self._ended.pop(number)
            span.set_attribute("spec_envs.outcome", outcome)
            span.end(self._ns(ended_at))

    def _span(self, name: str, now: float, attributes: Mapping[str, Any], links: Sequence[Any] = ()) -> Any:
        context = None if self._episode is None else self._api.set_span_in_context(self._episode)
        known = {key: value for key, value in attributes.items() if value is not None}
        kind = self._api.SpanKind.CLIENT if "gen_ai.request.model" in known else self._api.SpanKind.INTERNAL
        return self._tracer.start_span(name, context, kind, known, links, self._ns(now))

    def _ns(self, now: float) -> int:
        """The wall clock's time, in nanoseconds, of ``now`` on the runtime's clock."""
        if self._epoch_ns is None:
            self._epoch_ns = time.time_ns() - round(now * 1e9)
        return self._epoch_ns + round(now * 1e9)


def harmless(method: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """``method``, whose errors do not hinder the episode: they are logged, with their traceback at level DEBUG."""

    @functools.wraps(method)
    def call(*args: Arguments.args, **options: Arguments.kwargs) -> None:
        try:
            method(*args, **options)
        except Exception as error:
            _log.warning("OpenTelemetry failed, and the episode goes on: %r", error)
            _log.debug("", exc_info=True)

    return call


class EpisodeSpans:
    """Makes spans from the events of a trace.

    Args:
        otel: As for ``Spans``.
        env: The environment.
        handler: Gives the handler of a name.
    """

    def __init__(self, otel: bool | TracerProvider, env: AnyEnv, handler: Callable[[str], Handler]) -> None:
        self._env = type(env.unwrapped).__name__ if env.spec is None else env.spec.id
        self._spans = Spans(otel, self._env)
        self._handler = handler
        self._moved_at = 0.0

    @harmless
    def take(self, event: TraceEvent) -> None:
        """Send the spans that follow from ``event``."""
        handle = getattr(self, f"_{event.kind}", None)
        if handle is not None:
            handle(event)

    def _reset(self, event: TraceEvent) -> None:
        self._spans.begin(event.time_s)
        self._moved_at = event.time_s

    def _over(self, event: TraceEvent) -> None:
        self._spans.end(event.time_s)

    def _closed(self, event: TraceEvent) -> None:
        self._spans.close(event.time_s)

    def _start(self, event: TraceEvent) -> None:
        assert event.call is not None
        name, about = self._kind_of(event.handler, event.effect)
        about |= {
            "spec_envs.handler": event.handler,
            "spec_envs.effect": event.effect,
            "spec_envs.speculative": event.speculative,
            "spec_envs.node": event.node,
            "spec_envs.parent": event.parent,
            "spec_envs.probability": event.probability,
            "spec_envs.prefetch": event.prefetch,
        }
        self._spans.started(event.time_s, event.call, name, about)

    def _end(self, event: TraceEvent) -> None:
        assert event.call is not None
        spent = {
            "gen_ai.usage.input_tokens": round(event.tokens_in) or None,
            "gen_ai.usage.output_tokens": round(event.tokens_out) or None,
            "spec_envs.money": event.money or None,
        }
        known = {name: value for name, value in spent.items() if value is not None}
        outcome = _ENDS.get(event.outcome or "", "wasted" if event.call >= 0 else "committed")
        self._spans.ended(event.time_s, event.call, outcome, known, event.error)

    def _commit(self, event: TraceEvent) -> None:
        about = {"spec_envs.outcome": event.outcome, "spec_envs.node": event.node, "spec_envs.rank": event.rank}
        links = self._spans.links_to(event.call)
        self._spans.commit(event.handler, self._moved_at, event.time_s, about, links)
        self._spans.settle(event.call, "committed")
        self._moved_at = event.time_s

    def _discard(self, event: TraceEvent) -> None:
        self._spans.discard(event.handler, event.time_s, self._spans.links_to(event.call))

    def _kind_of(self, handler: str, effect: str | None) -> tuple[str, dict[str, Any]]:
        """The name of a call's span, and its attributes by the conventions."""
        try:
            model = declared(self._handler(handler), "model_name")
        except UnknownHandler:  # a step of an environment that does not ask
            model = None
        if model is not None:
            return f"chat {model}", {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",  # the protocol, whoever serves it
                "gen_ai.request.model": model,
            }
        if handler in _TOOLS or effect in ("read", "write"):
            return f"execute_tool {handler}", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": handler}
        return f"call {handler}", {}
