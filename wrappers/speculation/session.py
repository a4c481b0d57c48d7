"""What the two wrappers share: an environment, its agent and its tree, and everything between two waits.

``SpeculativeWrapper`` blocks where it waits, and ``AsyncSpeculativeWrapper`` awaits; all else is here.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.adapting import as_guess, as_handler, is_async
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.errors import EnvClosed, InvalidConfiguration, ResetNeeded, UnknownHandler
from spec_envs.forking import fork
from spec_envs.guesses import AsyncGuesser, Guess, Guesser
from spec_envs.handling import CancelToken, Handler
from spec_envs.values import own_copy, same
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.speculation.driver import Driver
from spec_envs.wrappers.speculation.episode import (
    POLICY,
    Acting,
    Agent,
    AnyEnv,
    Deciding,
    Decision,
    Stepped,
    Transition,
    action_of,
    is_call_env,
    plain,
    prefetch_of,
    private_copy,
)
from spec_envs.wrappers.speculation.ledger import Ledger
from spec_envs.wrappers.speculation.trace import Trace
from spec_envs.wrappers.speculation.tree import SpeculationTree
from spec_envs.wrappers.speculation.tree.limits import Limits

if TYPE_CHECKING:
    from spec_envs.prefetch import Prefetcher
    from spec_envs.wrappers.runtimes.base import Runtime
    from spec_envs.wrappers.speculation.statistics import Statistics


@dataclasses.dataclass(frozen=True, slots=True)
class StepFigures:
    """What speculation did in one step. What depends on timing takes no part in comparisons.

    Args:
        commits: Responses that became final.
        windows: Of them, those that a guesser was asked about.
        hits: Of those, the ones that it had guessed in time.
    """

    commits: int
    windows: int = dataclasses.field(compare=False)
    hits: int = dataclasses.field(compare=False)


class Speculation:
    """One environment with its tree; base of both wrappers."""

    env: AnyEnv

    def _prepare(
        self,
        policy: Callable[..., Any] | None,
        guessers: Mapping[str, Guesser | AsyncGuesser],
        prefetchers: Mapping[str, Prefetcher],
        k: int,
        max_inflight: int | None,
        limits: Limits | None,
        runtime: Runtime,
        canonical: Mapping[str, Callable[[Any], Hashable]] | None,
        shadow_every: int,
        max_trace_events: int,
    ) -> None:
        fork(self.env).close()  # an environment that cannot be forked is refused here, not in the middle of an episode
        self._asks = is_call_env(self.env)
        self._agent = _agent(policy)
        self._check_named("guessers", guessers, "guess")
        self._check_named("prefetchers", prefetchers, "prefetch")
        self._ledger = Ledger(Trace(max_trace_events))
        self._driver = Driver(
            SpeculationTree(
                _limits(limits, max_inflight, getattr(self.env.unwrapped, "handlers", {})),
                guessable=frozenset(guessers),
                prefetching=frozenset(prefetchers),
                external=frozenset() if policy is not None else frozenset({POLICY}),
                canonical=canonical,
                shadow_every=_at_least_one("shadow_every", shadow_every),
            ),
            runtime,
            self._handler,
            {**guessers, **{prefetch_of(name): _Naming(each) for name, each in prefetchers.items()}},
            _at_least_one("k", k),
            self._ledger,
        )
        self._last: Transition | None = None
        self._base: AnyEnv = self.env
        self._acted: Any = None
        self._counted = (0, 0, 0)
        self._closed = False

    @property
    def statistics(self) -> Statistics:
        """What was saved and what it cost, over the life of the wrapper."""
        return self._driver.statistics()

    @property
    def trace(self) -> Trace:
        """What happened, event by event."""
        return self._ledger.trace

    # -- where the episode stands --------------------------------------------------------------------------------

    def _at(self, observation: Any) -> None:
        """Check that the policy can be asked, and put the root where it sees ``observation``."""
        if self._agent.handler is None:
            name = type(self).__name__
            raise InvalidConfiguration(f"act() needs a policy: {name}(env, policy=...); this one has None")
        root = self._driver.root
        if not isinstance(root, Deciding) or root.transition.done:
            state = "the episode has ended" if isinstance(root, Deciding) else "there is no episode"
            raise ResetNeeded(f"act(): {state}; call reset() first")
        if not same_action(observation, root.transition.observation):
            # An observation that a wrapper outside has changed: the policy must see that one.
            transition = dataclasses.replace(root.transition, observation=observation)
            self._driver.rebase(dataclasses.replace(root, transition=transition))

    def _decide(self, root: Deciding, action: Any) -> None:
        """Commit the decision: the policy's response when the user steps with its action, else the user's action."""
        acted, self._acted = self._acted, None
        if acted is not None and same_action(action_of(acted), action):
            answer = acted
        elif root.agent.stateful is None:
            answer = action
        else:  # a policy with state is as its last decision left it, whether that was followed or not
            answer = Decision(action, root.agent.stateful if acted is None else acted.policy)
        self._agent = root.agent.after(answer)
        self._driver.commit(answer)

    def _arrived(self, transition: Transition) -> Transition:
        """The real environment is here; is that where the branch is?"""
        expected = self._driver.root
        if not isinstance(expected, Deciding) or not expected.transition.agrees_with(transition):
            self._driver.diverged()
            return self._go_on_from(transition)
        self._last = transition
        return transition

    def _adopt(self, stepped: Stepped) -> Transition:
        """The fork that has made the step takes the place of an environment that does not ask."""
        self._driver.commit(stepped)
        self.env = stepped.env
        self._last = private_copy(stepped.transition)
        return self._last

    def _go_on_from(self, transition: Transition) -> Transition:
        """The real environment is here: speculate from now on from a fork of it."""
        self._last = transition
        self._driver.rebase(Deciding(fork(self.env), self._agent, private_copy(transition)))
        return transition

    def _resume(self) -> None:
        """A step failed: the environment is as it was before it, or as its author left it."""
        if self._closed:  # that is why it failed
            return
        self._driver.rebase(None)
        if self._last is not None:
            self._go_on_from(self._last)

    def _expect(self, process: Callable[[], Deciding | Acting]) -> None:
        """Put the root at what a reset is about to do; nowhere, when it fails: the real reset then says why."""
        self._last = None
        try:
            self._driver.rebase(process())
        except Exception:
            self._driver.rebase(None)

    # -- small things --------------------------------------------------------------------------------------------

    def _handler(self, name: str) -> Handler:
        if name == POLICY and self._agent.handler is not None:
            return self._agent.handler
        unwrapped = self.env.unwrapped
        if not isinstance(unwrapped, CallEnv):
            raise UnknownHandler(f"{unwrapped} has no handlers; it was asked for {name!r}")
        return unwrapped.handler(name)

    def _check_named(self, what: str, given: Mapping[str, Any], method: str) -> None:
        if not isinstance(given, Mapping):
            raise InvalidConfiguration(f"{what} must be a mapping of names of calls, not {given!r}")
        unwrapped = self.env.unwrapped
        known = {POLICY, *(unwrapped.handlers if isinstance(unwrapped, CallEnv) else ())}
        plain_methods = ("observe",) if what == "guessers" else (method,)
        for name, each in given.items():
            if name not in known:
                raise UnknownHandler(f"{what} has {name!r}, but the calls here are: {', '.join(sorted(known))}")
            if not callable(getattr(each, method, None)):
                raise InvalidConfiguration(f"{what}[{name!r}] is {each!r}, which has no method {method}(…, k)")
            for must_be_plain in plain_methods:
                if is_async(getattr(each, must_be_plain, None)):
                    raise InvalidConfiguration(
                        f"{what}[{name!r}].{must_be_plain} is a coroutine function; make it a plain one"
                    )

    def _results(self, transition: Transition) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """What ``step`` returns."""
        return (
            transition.observation,
            transition.reward,
            transition.terminated,
            transition.truncated,
            self._with_figures(transition.info),
        )

    def _with_figures(self, info: dict[str, Any]) -> dict[str, Any]:
        before, self._counted = self._counted, self._ledger.counts
        return info | {"speculation": StepFigures(*(new - old for new, old in zip(self._counted, before, strict=True)))}

    def _check_open(self) -> None:
        if self._closed:
            raise EnvClosed(f"{self} was closed; make a new one")


class _Naming:
    """A prefetcher as the guesser of the action that a side branch waits to be told."""

    def __init__(self, prefetcher: Prefetcher) -> None:
        self._prefetch = as_guess(prefetcher.prefetch)

    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        """The actions."""
        named: Sequence[Guess] = self._prefetch(call.query, k, cancel)
        return named


def resetting(seed: int | None, options: dict[str, Any] | None) -> Callable[[AnyEnv], Transition]:
    """``reset`` as a method that gives a transition."""

    def method(env: AnyEnv) -> Transition:
        observation, info = env.reset(seed=seed, options=options)
        return Transition(observation, 0.0, False, False, info)

    return method


def stepping(action: Any) -> Callable[[AnyEnv], Transition]:
    """``step`` as a method that gives a transition."""
    return lambda env: Transition(*env.step(own_copy(action)))


def same_action(one: Any, other: Any) -> bool:
    """Whether two actions, or observations, are the same, be they numpy's or Python's integers."""
    return same(plain(one), plain(other))


def _agent(policy: Callable[..., Any] | None) -> Agent:
    if policy is None:
        return Agent()
    if not callable(policy):
        raise InvalidConfiguration(f"policy must be callable as policy(observation), not {policy!r}")
    stateful = policy if inspect.ismethod(getattr(policy, "fork", None)) else None
    return Agent(as_handler(policy), getattr(policy, "effect", Effect.SAMPLE), stateful)


def _limits(limits: Limits | None, max_inflight: int | None, handlers: Mapping[str, Handler]) -> Limits:
    if limits is not None and max_inflight is not None:
        raise InvalidConfiguration("give max_inflight or limits, not both: limits=Limits(max_inflight=...)")
    if limits is None:
        limits = Limits() if max_inflight is None else Limits(max_inflight=max_inflight)
    declared = {name: getattr(handler, "max_inflight", None) for name, handler in handlers.items()}
    own = {name: HandlerLimit(max_inflight=most) for name, most in declared.items() if most is not None}
    return dataclasses.replace(limits, per_handler={**own, **limits.per_handler})


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise InvalidConfiguration(f"{name} must be at least 1, not {value!r}")
    return value
