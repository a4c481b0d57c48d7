"""Processes for the nodes of the speculation tree: snapshots of a Gymnasium environment, advanced by responses.

A snapshot is never stepped: ``advance`` forks the snapshot and steps the fork. An environment that asks (``CallEnv``)
is stepped with a script of the responses so far. The step then either ends, or says which call it waits for. For any
other environment, the step itself is the call: it runs on a fork beside the episode, and the response is the fork.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

from spec_envs.brief import brief, own_form
from spec_envs.call_env import CallEnv, Script
from spec_envs.calls import Call, Effect
from spec_envs.errors import CallPending
from spec_envs.forking import fork
from spec_envs.guesses import Situation
from spec_envs.handling import CancelToken, Handler, answered, as_handler, is_async
from spec_envs.wrappers.speculation.transitions import (
    POLICY,
    Agent,
    AnyEnv,
    Decision,
    EqualToItselfAlone,
    Method,
    Transition,
    action_of,
    plain,
    stepping,
)
from spec_envs.wrappers.speculation.tree.nodes import Process
from spec_envs.wrappers.speculation.trust.fork_steps import ForkSteps, undrawn

#: The handler name of a step of an environment that is not a ``CallEnv``.
STEP = "step"
#: What the calls of side branches touch, and the beginning of their handler names.
PREFETCH = "prefetch"


# Processes are never changed. They are not frozen, because to make a frozen process takes three times as long.
@dataclasses.dataclass(slots=True, eq=False)
class Deciding:
    """Between two steps: waits for the policy."""

    env: AnyEnv
    agent: Agent
    transition: Transition
    #: Makes the steps of an environment that does not ask for calls; ``None`` for a ``CallEnv``.
    steps: ForkSteps | None = dataclasses.field(default=None, repr=False)
    _made: Call | None = dataclasses.field(default=None, init=False, repr=False)

    @property
    def call(self) -> Call | None:
        """The policy's call; ``None`` if the episode has ended, or while the state of the policy is not known."""
        if self._made is None and self.agent.is_known and not self.transition.done:
            # Made only when it is read: without the tree, nobody reads it.
            self._made = Call(POLICY, self.transition.observation, self.agent.effect, touches=POLICY)
        return self._made

    @property
    def handler(self) -> Handler | None:
        """The policy; if the policy has state, a fork of the policy."""
        stateful = self.agent.stateful
        if stateful is None:
            return self.agent.handler
        return _forked(stateful)

    def advance(self, response: Any) -> Process:
        """Return the episode after the action: inside the next step, or after a step that waits for nothing."""
        agent, action = self.agent.after(response), action_of(response)
        if self.steps is not None:
            return Stepping(self.env, agent, action, self.steps)
        return attempt(self.env, agent, stepping(action), began=(self, action))

    def aside(self) -> Process | None:
        """Return the side branch from here, which makes the reads of the next action and of later actions."""
        if self.call is None or not isinstance(self.env.unwrapped, CallEnv):
            return None
        observation = self.transition.observation
        return SideBranch(Situation(self.call, observation, None, observation), self)


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where an episode stood between two steps, so that a step that was begun can be taken back."""

    agent: Agent
    acted: Any = None
    root: Deciding | None = None


def _forked(policy: Any) -> Handler:
    """Return a handler that calls a fork of ``policy``; the fork becomes part of the decision."""

    def decide(query: Any, cancel: CancelToken) -> Decision:
        twin = policy.fork()
        return Decision(answered(as_handler(twin), query, cancel), twin)

    async def decide_async(query: Any, cancel: CancelToken) -> Decision:
        twin = policy.fork()
        return Decision(await answered(as_handler(twin), query, cancel), twin)

    return decide_async if is_async(policy) else decide


@dataclasses.dataclass(slots=True, eq=False)
class Acting:
    """Inside a step or a reset of a ``CallEnv``: waits for one of the calls that the environment asks for."""

    env: AnyEnv
    agent: Agent
    method: Method
    responses: tuple[Any, ...]
    call: Call
    #: Where the step began, and the action of the step; ``None`` for a reset.
    began: tuple[Deciding, Any] | None = None

    @property
    def handler(self) -> Handler | None:
        """``None``: the environment's own handler answers the call."""
        return None

    def advance(self, response: Any) -> Process:
        """Run the step again from its beginning, with one more response."""
        return attempt(self.env, self.agent, self.method, (*self.responses, response), began=self.began)

    def aside(self) -> Process | None:
        """Return the side branch from before the step, which makes the reads of actions in place of this step."""
        if self.began is None:
            return None
        before, action = self.began
        observation = before.transition.observation
        return SideBranch(Situation(self.call, observation, action, observation), before)


def attempt(
    env: AnyEnv,
    agent: Agent,
    method: Method,
    responses: tuple[Any, ...] = (),
    *,
    began: tuple[Deciding, Any] | None = None,
) -> Deciding | Acting:
    """Run ``method`` on a fork of ``env`` with ``responses`` to its calls, until it ends or asks for another call."""
    return undrawn(functools.partial(_attempt, env, agent, method, responses, began))


def _attempt(
    env: AnyEnv, agent: Agent, method: Method, responses: tuple[Any, ...], began: tuple[Deciding, Any] | None
) -> Deciding | Acting:
    twin = fork(env)
    unwrapped = twin.unwrapped
    assert isinstance(unwrapped, CallEnv)
    script = Script(responses)
    unwrapped.answer_with(script)
    try:
        transition = method(twin)
    except (Exception, CallPending):
        if script.pending is None:
            raise
    if script.pending is not None:  # even if the step has caught the exception and has gone on
        return Acting(env, agent, method, responses, script.pending, began)
    return Deciding(twin, agent, transition)


@dataclasses.dataclass(frozen=True, slots=True)
class SideBranch:
    """On a side branch, between two steps: waits for an action that a prefetcher names.

    The action is the response of a call that is never made, only guessed.
    """

    situation: Situation
    place: Deciding
    call: Call = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        name = prefetch_of(self.situation.call.handler)
        object.__setattr__(self, "call", Call(name, self.situation, Effect.WRITE, touches=PREFETCH))

    @property
    def handler(self) -> Handler | None:
        """``None``: nobody makes the call."""
        return None

    def advance(self, response: Any) -> Process:
        """Return the side branch inside the step with the action ``response``."""
        return _reading(self.situation, self.place.advance(response))

    def aside(self) -> Process | None:
        """``None``: a side branch has no side branches."""
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """On a side branch, inside the step with an action that a prefetcher has named: waits for a read."""

    situation: Situation
    step: Acting

    @property
    def call(self) -> Call:
        """The read."""
        return self.step.call

    @property
    def handler(self) -> Handler | None:
        """``None``: the environment's own handler answers the call."""
        return None

    def advance(self, response: Any) -> Process:
        """Return the side branch at the next read of the step or, if the step has ended, at the next action."""
        process = self.step.advance(response)
        if isinstance(process, Deciding) and not process.transition.done:
            return SideBranch(dataclasses.replace(self.situation, now=process.transition.observation), process)
        return _reading(self.situation, process)

    def aside(self) -> Process | None:
        """``None``: a side branch has no side branches."""
        return None


def _reading(situation: Situation, process: Process) -> Reading:
    if not isinstance(process, Acting) or process.call.effect is not Effect.READ:
        raise ValueError(f"only READ calls are prefetched, but this step asks for {process.call}")
    return Reading(situation, process)


def prefetch_of(handler: str) -> str:
    """Return the handler name, as seen in the trace, of prefetching during calls of ``handler``."""
    return f"{PREFETCH} {handler}"


@dataclasses.dataclass(frozen=True, slots=True)
class Stepping:
    """Inside a step of an environment that is not a ``CallEnv``: waits for the step, which a fork makes."""

    env: AnyEnv
    agent: Agent
    action: Any
    steps: ForkSteps = dataclasses.field(repr=False)
    #: The step as a call. It changes nothing outside the fork, so it may be made ahead of time.
    call: Call = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        query = (id(self.env), plain(self.action))
        object.__setattr__(self, "call", Call(STEP, query, Effect.SAMPLE, touches=STEP))

    @property
    def handler(self) -> Handler:
        """The handler that steps a fork."""
        return self._step

    def _step(self, query: Any, cancel: CancelToken) -> Stepped:
        began = time.perf_counter()
        env, transition = self.steps.step(self.env, self.action)
        return Stepped(env, transition, time.perf_counter() - began)

    def advance(self, response: Any) -> Process:
        """Return the fork, after its step."""
        return Deciding(response.env, self.agent, response.transition, self.steps)

    def aside(self) -> Process | None:
        """``None``: this environment asks for no calls, so there is nothing to prefetch."""
        return None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Stepped(EqualToItselfAlone):
    """A fork that has made its step, the transition of this step, and how long it took on the wall clock."""

    env: AnyEnv
    transition: Transition
    seconds: float = 0.0


@own_form.register
def _(stepped: Stepped) -> str:
    return brief(stepped.transition)
