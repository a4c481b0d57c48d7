"""The options of a speculative wrapper, listed and checked once for both wrappers."""

import dataclasses
import inspect
import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

from spec_envs.attributes import attribute_of
from spec_envs.calls import Call, Effect
from spec_envs.checks import check_names, keep_booleans, keep_integers
from spec_envs.errors import InvalidConfiguration, UnknownHandler
from spec_envs.guesses import AsyncGuesser, Guesser, Prefetcher, check_guesser
from spec_envs.handling import Handler, as_handler, declared_effect, greatest_usage, is_async, unpriced_model
from spec_envs.parameters import why_not_called
from spec_envs.usage import Usage
from spec_envs.wrappers.calibration import Calibration
from spec_envs.wrappers.estimates import Estimates
from spec_envs.wrappers.kept_estimates import load, recall, remember, save
from spec_envs.wrappers.quota import HandlerLimit, Quota
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.runtimes.threads import ThreadRuntime
from spec_envs.wrappers.speculation.episode import STEP, prefetch_of
from spec_envs.wrappers.speculation.guessing import AsGuesser
from spec_envs.wrappers.speculation.trace import Trace
from spec_envs.wrappers.speculation.transitions import POLICY, Agent, AnyEnv
from spec_envs.wrappers.speculation.tree import SpeculationTree
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import Run
from spec_envs.wrappers.telemetry import EpisodeSpans, TracerProvider

#: The limits of a user who gives none.
_LIMITS = Limits()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """The options of one wrapper; the wrappers' docstrings say what each option means.

    Raises:
        InvalidConfiguration: An option has the wrong kind of value or is out of range, or two options contradict each
            other.
    """

    policy: Callable[..., Any] | None = None
    guessers: Mapping[str, Guesser | AsyncGuesser] | None = None
    prefetchers: Mapping[str, Prefetcher] | None = None
    k: int = 3
    max_inflight: int | None = None
    limits: Limits | None = None
    runtime: str | Runtime = "threads"
    canonical: Mapping[str, Callable[[Any], Hashable]] | None = None
    shadow_every: int = 10
    rehearse: bool = True
    prove_every: int = 100
    max_trace_events: int = 100_000
    guard: bool | None = None
    estimates: Estimates | str | os.PathLike[str] | None = None
    otel: bool | TracerProvider = False

    def __post_init__(self) -> None:
        if self.policy is not None and not callable(attribute_of(self.policy, "predict", self.policy)):
            raise InvalidConfiguration(
                f"policy must be callable as policy(observation), or have predict(observation), not {self.policy!r}"
            )
        if not isinstance(self.limits, Limits | None):
            raise InvalidConfiguration(f"limits must be Limits(...), not {self.limits!r}")
        if self.limits is not None and self.max_inflight is not None:
            raise InvalidConfiguration("give max_inflight or limits, not both: limits=Limits(max_inflight=...)")
        keep_integers(self, k=1, shadow_every=1, prove_every=0, max_trace_events=0)
        if self.estimates is not None and not isinstance(self.estimates, (Estimates, str, os.PathLike)):
            raise InvalidConfiguration(f"estimates must be Estimates or the path of a file, not {self.estimates!r}")
        if self.guard is not None and not isinstance(self.guard, bool):
            raise InvalidConfiguration(f"guard must be True, False or None, not {self.guard!r}")
        keep_booleans(self, "rehearse")
        _check_methods("guessers", self.guessers, "guess", plain="observe")
        _check_methods("prefetchers", self.prefetchers, "prefetch", plain="prefetch")
        _check_mapping("canonical", self.canonical)
        for name, form in (self.canonical or {}).items():
            if not callable(form) or is_async(form) or (why_not_called(form, ("response",)) is not None):
                raise InvalidConfiguration(
                    f"canonical[{name!r}] must be a function of a response, which awaits nothing, not {form!r:.80}"
                )

    def as_arguments(self) -> dict[str, Any]:
        """Return the options as keyword arguments of ``SpeculativeWrapper``, each as the user gave it."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def tree(
        self,
        limits: Limits,
        estimates: Estimates,
        quotas: Mapping[str, Quota],
        handler: Callable[[str], Handler],
        inflight: Iterable[Run],
        wasted: Usage,
    ) -> SpeculationTree:
        """Return a tree with these options. ``handler(name)`` returns a handler, or raises ``UnknownHandler``.

        The other arguments are those of ``SpeculationTree``.
        """

        def most(call: Call) -> Usage | None:
            try:
                return greatest_usage(handler(call.handler), call.query)
            except UnknownHandler:
                return None

        return SpeculationTree(
            limits,
            guessable=frozenset(self.guessers or ()),
            prefetching=frozenset(self.prefetchers or ()),
            frugal=frozenset(name for name, each in (self.guessers or {}).items() if attribute_of(each, "frugal")),
            external=frozenset({POLICY}) if self.policy is None else frozenset(),
            canonical=self.canonical,
            shadow_every=self.shadow_every,
            inflight=inflight,
            wasted=wasted,
            estimates=estimates,
            quotas=quotas,
            greatest_usage=most,
            watches_crowds=self.guards(limits),
        )

    def all_guessers(self) -> dict[str, Guesser | AsyncGuesser]:
        """Return the guessers and prefetchers, by the name of the handler whose responses they predict."""
        prefetchers = {prefetch_of(name): AsGuesser(each) for name, each in (self.prefetchers or {}).items()}
        return {**(self.guessers or {}), **prefetchers}

    def check_names(self, handlers: Mapping[str, Handler], *, asks: bool) -> None:
        """Check that options with names of handlers name only the policy and ``handlers``.

        Args:
            handlers: The environment's handlers.
            asks: Whether the environment asks for its calls. If not, its step is a call that can be limited, too.

        Raises:
            UnknownHandler: An option has another name; the message lists the known names.
        """
        calls = {POLICY, *handlers}
        limited = calls if asks else calls | {STEP}
        for what, given, known in (
            ("guessers", self.guessers, calls),
            ("prefetchers", self.prefetchers, calls),
            ("canonical", self.canonical, calls),
            ("limits.per_handler", self.own_limits.per_handler, limited),
        ):
            check_names(what, given or (), known)

    def guards(self, limits: Limits) -> bool:
        """Whether a guard decides when to run ahead.

        There is no guard if a handler has a rate limit, because the time of an episode that waits for a limit says
        nothing. By default there is none in virtual time either, because computing takes no virtual time.
        """
        wanted = self.guard if self.guard is not None else self.is_on_the_wall_clock
        return wanted and limits.max_inflight > 0 and not limits.paces

    @property
    def is_on_the_wall_clock(self) -> bool:
        """Whether the runtime has the wall clock, and so calls plain functions on worker threads."""
        return self.runtime == "threads" or isinstance(self.runtime, (ThreadRuntime, AsyncioRuntime))

    def known(self, env: AnyEnv, *, guarded: bool) -> Estimates:
        """Return the estimates of the handlers of ``env`` from earlier wrappers, or new estimates."""
        if isinstance(self.estimates, Estimates):
            return self.estimates
        if self.estimates is not None:
            return self._with_calibrations(load(Path(self.estimates)))
        return recall(self.policy, self._use_of(env)) if guarded else Estimates()

    def keep(self, env: AnyEnv, estimates: Estimates, *, guarded: bool) -> None:
        """Keep ``estimates`` for later wrappers, if the options want this."""
        if self.estimates is None and guarded:
            remember(self.policy, self._use_of(env), estimates)
        elif self.estimates is not None and not isinstance(self.estimates, Estimates):
            save(estimates, Path(self.estimates))

    def _with_calibrations(self, estimates: Estimates) -> Estimates:
        """``estimates`` with the kept calibrations of these guessers, which now count as the last ones used."""
        for name, guesser in (self.guessers or {}).items():
            key = f"{name} by {type(guesser).__module__}.{type(guesser).__qualname__}"
            known = estimates.calibrations.pop(key, None)
            estimates.calibrations[key] = estimates.guessers[name].calibration = known or Calibration()
        return estimates

    def _use_of(self, env: AnyEnv) -> str:
        """The key of one use of a policy: the environment and the guessers."""
        kind = type(env.unwrapped)
        guessers = sorted(f"{name}={type(each).__qualname__}" for name, each in (self.guessers or {}).items())
        return f"{kind.__module__}.{kind.__qualname__} {' '.join(guessers)}"

    def trace(self, env: AnyEnv, handler: Callable[[str], Handler]) -> Trace:
        """Return the trace of episodes of ``env``; it sends spans if ``otel`` is set."""
        trace = Trace.of(env.unwrapped, self.max_trace_events)
        if self.otel is not False:
            trace.listen(EpisodeSpans(self.otel, env, handler).take)
        return trace

    def agent(self) -> Agent:
        """Return how actions are chosen: by ``policy``, or by the user if there is no policy."""
        if self.policy is None:
            return Agent()
        stateful = self.policy if inspect.ismethod(attribute_of(self.policy, "fork")) else None
        return Agent(as_handler(self.policy), declared_effect("policy", self.policy) or Effect.SAMPLE, stateful)

    def limits_for(self, handlers: Mapping[str, Handler]) -> Limits:
        """Return the limits, with the ``max_inflight`` that handlers declare about themselves filled in."""
        limits = self.own_limits
        self._check_prices(limits, handlers)
        callables: dict[str, Any] = {POLICY: self.policy, **handlers}
        declared = {name: attribute_of(each, "max_inflight") for name, each in callables.items()}
        own = {name: HandlerLimit(max_inflight=most) for name, most in declared.items() if most is not None}
        return dataclasses.replace(limits, per_handler={**own, **limits.per_handler}) if own else limits

    @property
    def own_limits(self) -> Limits:
        """The limits of the user, without those that handlers declare."""
        if self.limits is not None:
            return self.limits
        return _LIMITS if self.max_inflight is None else Limits(max_inflight=self.max_inflight)

    def _check_prices(self, limits: Limits, handlers: Mapping[str, Handler]) -> None:
        """Check that the price of every model is known, if there is a limit on money."""
        names = [name for name in ("max_money", "money_per_s", "money_ratio") if getattr(limits, name) is not None]
        for each in (self.policy, *handlers.values(), *(self.guessers or {}).values()):
            if names and (model := unpriced_model(each)) is not None:
                raise InvalidConfiguration(
                    f"{names[0]} is set, but the price of the model {model!r} is unknown, so its money cannot be "
                    f"counted; give ChatModel its price: prices={{{model!r}: Price(tokens_in, tokens_out)}} "
                    f"(of a million tokens; 0.0 where they are free)"
                )


def check_options(policy: Any, guessers: Any, options: Mapping[str, Any], *, besides: Iterable[str] = ()) -> None:
    """Check the options of a wrapper before its environment is made.

    Args:
        policy: The policy.
        guessers: The guessers.
        options: The other options, by name.
        besides: The names of options that are checked elsewhere.

    Raises:
        InvalidConfiguration: An option does not exist, has the wrong kind of value, or is out of range.
    """
    known = {field.name for field in dataclasses.fields(SessionOptions)} | set(besides)
    if unknown := sorted(options.keys() - known):
        raise InvalidConfiguration(f"there is no option {unknown[0]!r}; there are {', '.join(sorted(known))}")
    given = {name: value for name, value in options.items() if name not in besides}
    SessionOptions(policy=policy, guessers=guessers, **given).agent()


def _check_mapping(what: str, given: object) -> None:
    if given is not None and not isinstance(given, Mapping):
        raise InvalidConfiguration(f"{what} must be a mapping from names of calls, such as 'policy', not {given!r:.80}")


def _check_methods(what: str, given: Mapping[str, Any] | None, method: str, *, plain: str) -> None:
    """Check that each object in ``given`` has ``method``, and that its method ``plain`` is no coroutine function."""
    _check_mapping(what, given)
    for name, each in (given or {}).items():
        check_guesser(f"{what}[{name!r}]", each, method)
        if is_async(attribute_of(each, plain)):
            raise InvalidConfiguration(f"{what}[{name!r}].{plain} is a coroutine function; make it a plain function")
