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

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed
from spec_envs.wrappers.speculation.trace import TraceEvent

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

_log = logging.getLogger(__name__)
#: Handlers that are tools by their names; others are by their effects.
_TOOLS = frozenset({"tool", "fetch", "measure"})
_ENDS = {"stopped": "cancelled", "failed": "failed"}


class Spans:
    """One episode after another, with calls that are known by a number.

    Args:
        otel: ``True``: the program's own tracer provider; or another provider.
        agent: The name of the agent, for ``gen_ai.agent.name``.

    Raises:
        InvalidConfiguration: ``otel`` is neither.
        DependencyNotInstalled: OpenTelemetry is missing; the message has the command that installs it.
    """

    def __init__(self, otel: bool | TracerProvider, agent: str) -> None:
        with needed("otel=True", "otel"):
            from opentelemetry import trace  # late: an extra
        if otel is not True and not callable(getattr(otel, "get_tracer", None)):
            raise InvalidConfiguration(f"otel must be True, False or a TracerProvider, not {otel!r}")
        self._api = trace
        self._tracer = trace.get_tracer("spec_envs", tracer_provider=None if isinstance(otel, bool) else otel)
        self._agent = agent
        self._epoch_ns: int | None = None
        self._episode: Span | None = None
        self._moved_at = 0.0
        self._calls: dict[int, Span] = {}
        self._ended: dict[int, tuple[float, str]] = {}
        self._contexts: dict[int, Any] = {}

    def begin(self, now: float, **attributes: Any) -> None:
        """An episode begins, inside of the caller's current span; the one before ends."""
        self.end(now)
        about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self._agent, **attributes}
        self._episode = self._span(f"invoke_agent {self._agent}", now, about, context=None)
        self._moved_at = now

    def end(self, now: float) -> None:
        """The episode ends: what it has not used by now was in vain."""
        for number, (ended_at, outcome) in list(self._ended.items()):
            self._close(number, ended_at, outcome)
        if self._episode is not None:
            self._episode.end(self._ns(now))
        self._episode = None

    def close(self, now: float) -> None:
        """Nothing more comes."""
        self.end(now)
        for number in list(self._calls):
            self._close(number, now, "cancelled")

    def started(self, now: float, number: int, name: str, attributes: Mapping[str, Any]) -> None:
        """Call ``number`` begins."""
        self._calls[number] = self._span(name, now, attributes)

    def ended(self, now: float, number: int, outcome: str, attributes: Mapping[str, Any], error: str | None) -> None:
        """Call ``number`` has ended; ``outcome`` is ``wasted`` where it may still become ``committed``."""
        span = self._calls.get(number)
        if span is None:
            return
        span.set_attributes(attributes)
        if error is not None:
            span.set_attribute("error.type", error.partition("(")[0])
            span.set_status(self._api.StatusCode.ERROR, error)
        if outcome == "wasted":
            self._ended[number] = now, outcome
        else:
            self._close(number, now, outcome)

    def committed(self, now: float, number: int | None, handler: str, attributes: Mapping[str, Any]) -> None:
        """The response of call ``number`` is final; ``None``: a response that came from elsewhere."""
        links = self._links(number)
        self._span(f"commit {handler}", self._moved_at, attributes, links).end(self._ns(now))
        self._moved_at = now
        if number in self._ended:
            self._close(number, self._ended[number][0], "committed")

    def discarded(self, now: float, number: int, handler: str, *, for_good: bool) -> None:
        """Call ``number`` was given up; ``for_good``: nothing else can still use its response."""
        self._span(f"discard {handler}", now, {}, self._links(number)).end(self._ns(now))
        if for_good and number in self._ended:
            self._close(number, *self._ended[number])

    def _close(self, number: int, ended_at: float, outcome: str) -> None:
        self._ended.pop(number, None)
        span = self._calls.pop(number, None)
        if span is not None:
            span.set_attribute("spec_envs.outcome", outcome)
            span.end(self._ns(ended_at))

    def _links(self, number: int | None) -> list[Any]:
        span = None if number is None else self._calls.get(number)
        return [] if span is None else [self._api.Link(span.get_span_context())]

    def _span(self, name: str, now: float, attributes: Mapping[str, Any], links: Any = (), context: Any = ...) -> Span:
        if context is ...:
            context = None if self._episode is None else self._api.set_span_in_context(self._episode)
        known = {key: value for key, value in attributes.items() if value is not None}
        return self._tracer.start_span(name, context, attributes=known, links=links, start_time=self._ns(now))

    def _ns(self, now: float) -> int:
        """The wall clock's time, in nanoseconds, of ``now`` on the runtime's clock."""
        if self._epoch_ns is None:
            self._epoch_ns = time.time_ns() - round(now * 1e9)
        return self._epoch_ns + round(now * 1e9)


class EpisodeSpans:
    """Makes spans from the events of a trace.

    Args:
        otel: As for ``Spans``.
        env: The name of the environment.
        agent: The name of the agent.
        model_of: The name of the model that a handler prompts, if it prompts one.
    """

    def __init__(
        self, otel: bool | TracerProvider, env: str, agent: str, model_of: Callable[[str], str | None]
    ) -> None:
        self._spans = Spans(otel, agent)
        self._env = env
        self._model_of = model_of
        self._is_told = False

    def take(self, event: TraceEvent) -> None:
        """Send what ``event`` says. What fails here must not hinder the episode: it is logged, once."""
        handle = getattr(self, f"_{event.kind}", None)
        try:
            if handle is not None:
                handle(event)
        except Exception:
            if not self._is_told:
                _log.warning("OpenTelemetry failed, and the episode goes on; this is told once", exc_info=True)
            self._is_told = True

    def end(self, now: float) -> None:
        """The episode has ended."""
        self.take(TraceEvent(now, "over", ""))

    def close(self, now: float) -> None:
        """Nothing more comes."""
        self.take(TraceEvent(now, "closed", ""))

    def _reset(self, event: TraceEvent) -> None:
        self._spans.begin(event.time_s, **{"spec_envs.env": self._env})

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
        outcome = _ENDS.get(event.outcome or "", "wasted" if event.call > 0 else "committed")
        self._spans.ended(event.time_s, event.call, outcome, known, event.error)

    def _commit(self, event: TraceEvent) -> None:
        about = {"spec_envs.outcome": event.outcome, "spec_envs.node": event.node, "spec_envs.rank": event.rank}
        self._spans.committed(event.time_s, event.call, event.handler, about)

    def _discard(self, event: TraceEvent) -> None:
        if event.call is not None:
            self._spans.discarded(event.time_s, event.call, event.handler, for_good=event.effect != "read")

    def _kind_of(self, handler: str, effect: str | None) -> tuple[str, dict[str, Any]]:
        """The name of a call's span, and its attributes by the conventions."""
        model = self._model_of(handler)
        if model is not None:
            return f"chat {model}", {"gen_ai.operation.name": "chat", "gen_ai.request.model": model}
        if handler in _TOOLS or effect in ("read", "write"):
            return f"execute_tool {handler}", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": handler}
        return f"call {handler}", {}
