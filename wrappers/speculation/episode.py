"""A Gymnasium environment as what the speculation tree holds at its nodes: snapshots that advance by responses.

A snapshot is never stepped: ``advance`` forks it and steps the fork. An environment that asks (``CallEnv``) is stepped
with a script of the responses so far, and either ends the step or says which call it waits for. For any other
environment the step itself is the call: it runs on a fork, beside the episode, and the fork is what comes back.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from spec_envs.adapting import as_handler, is_async
from spec_envs.call_env import CallEnv, Script
from spec_envs.calls import Call, Effect
from spec_envs.errors import CallPending
from spec_envs.forking import fork
from spec_envs.handling import CancelToken, Handler
from spec_envs.prefetch import Situation
from spec_envs.values import own_copy, same

if TYPE_CHECKING:
    from spec_envs.wrappers.speculation.tree.nodes import Process

AnyEnv = gym.Env[Any, Any]

POLICY = "policy"
STEP = "step"
PREFETCH = "prefetch"


def is_call_env(env: AnyEnv) -> bool:
    """Whether the environment under all wrappers asks for what it waits for."""
    return isinstance(env.unwrapped, CallEnv)


@dataclasses.dataclass(frozen=True, slots=True)
class Transition:
    """What a step, or a reset, returned. After a reset, ``reward`` is 0 and the flags are False."""

    observation: Any
    reward: Any
    terminated: bool
    truncated: bool
    info: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether the episode has ended."""
        return self.terminated or self.truncated

    def agrees_with(self, other: Transition) -> bool:
        """Whether observation, reward and flags are the same; an info may hold times and counters."""
        return same(_flags(self), _flags(other)) and same(self.observation, other.observation)


def _flags(transition: Transition) -> tuple[float, bool, bool]:
    return float(transition.reward), bool(transition.terminated), bool(transition.truncated)


@dataclasses.dataclass(frozen=True, slots=True)
class Agent:
    """How actions are chosen: the policy as a handler, and, for one that has state of its own, the policy itself.

    A policy with ``fork()`` may change when it is called. Each branch then calls a fork of its own, and an action whose
    policy is not known (a guess, before the policy has answered) leads to a state that waits for no policy call.
    """

    handler: Handler | None = None
    effect: Effect = Effect.SAMPLE
    stateful: Any = None
    is_known: bool = True

    def after(self, response: Any) -> Agent:
        """The agent once ``response`` was its decision."""
        if self.stateful is None:
            return self
        if isinstance(response, Decision):
            return dataclasses.replace(self, stateful=response.policy, is_known=True)
        return dataclasses.replace(self, is_known=False)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """An action, with the state that choosing it left the policy in. Equal to itself alone."""

    action: Any
    policy: Any

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def action_of(response: Any) -> Any:
    """The action that a policy's response stands for."""
    return response.action if isinstance(response, Decision) else response


def plain(value: Any) -> Any:
    """``value``, a numpy integer as Python's: loops that batch (``predict``) turn one into the other."""
    return int(value) if isinstance(value, np.integer) else value


@dataclasses.dataclass(frozen=True, slots=True)
class Deciding:
    """Between two steps: waits for the policy."""

    env: AnyEnv
    agent: Agent
    transition: Transition
    #: The policy's call; ``None`` when the episode has ended, or while the policy's own state is not known.
    call: Call | None = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        waits = self.agent.is_known and not self.transition.done
        call = Call(POLICY, self.transition.observation, self.agent.effect, touches=POLICY) if waits else None
        object.__setattr__(self, "call", call)

    @property
    def handler(self) -> Handler | None:
        """The policy; for one with state, a fork of it."""
        stateful = self.agent.stateful
        if stateful is None:
            return self.agent.handler
        return _forked(stateful)

    def advance(self, response: Any) -> Process:
        """The episode after the action: inside the next step, or behind it when nothing has to be waited for."""
        agent, action = self.agent.after(response), action_of(response)
        if not is_call_env(self.env):
            return Stepping(self.env, agent, action)
        process = attempt(self.env, agent, lambda env: Transition(*env.step(own_copy(action))))
        return dataclasses.replace(process, began=(self, action)) if isinstance(process, Acting) else process

    def aside(self) -> Process | None:
        """The same place: reads of the next action, or of later ones."""
        if self.call is None or not is_call_env(self.env):
            return None
        observation = self.transition.observation
        return Aside(Situation(self.call, observation, None, observation), self)


def _forked(policy: Any) -> Handler:
    """Decides by a fork of ``policy``, which becomes part of the decision."""

    def decide(query: Any, cancel: CancelToken) -> Decision:
        twin = policy.fork()
        return Decision(as_handler(twin)(query, cancel), twin)

    async def decide_async(query: Any, cancel: CancelToken) -> Decision:
        twin = policy.fork()
        return Decision(await as_handler(twin)(query, cancel), twin)

    return decide_async if is_async(policy) else decide


@dataclasses.dataclass(frozen=True, slots=True)
class Acting:
    """Inside a step, or a reset, of a ``CallEnv``: waits for one of its calls."""

    env: AnyEnv
    agent: Agent
    method: Callable[[AnyEnv], Transition]
    responses: tuple[Any, ...]
    call: Call
    #: Where the step began, and its action; ``None`` for a reset.
    began: tuple[Deciding, Any] | None = None

    @property
    def handler(self) -> Handler | None:
        """``None``: the environment's own handler makes the call."""
        return None

    def advance(self, response: Any) -> Process:
        """Run the step again, with one more response."""
        process = attempt(self.env, self.agent, self.method, (*self.responses, response))
        return dataclasses.replace(process, began=self.began) if isinstance(process, Acting) else process

    def aside(self) -> Process | None:
        """Before the step: reads of actions that may follow it."""
        if self.began is None:
            return None
        before, action = self.began
        observation = before.transition.observation
        return Aside(Situation(self.call, observation, action, observation), before)


def attempt(
    env: AnyEnv, agent: Agent, method: Callable[[AnyEnv], Transition], responses: tuple[Any, ...] = ()
) -> Deciding | Acting:
    """Run ``method`` on a fork of ``env``, with ``responses`` for its calls: to its end, or to the next call."""
    twin = fork(env)
    unwrapped = twin.unwrapped
    assert isinstance(unwrapped, CallEnv)
    unwrapped.answer_with(Script(responses))
    try:
        transition = method(twin)
    except CallPending as pending:
        return Acting(env, agent, method, responses, pending.call)
    return Deciding(twin, agent, transition)


@dataclasses.dataclass(frozen=True, slots=True)
class Aside:
    """On a side branch: waits to be told an action, by a call that is never made and only guessed."""

    situation: Situation
    place: Deciding
    call: Call = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        name = prefetch_of(self.situation.call.handler)
        object.__setattr__(self, "call", Call(name, self.situation, Effect.WRITE, touches=PREFETCH))

    @property
    def handler(self) -> Handler | None:
        """Nobody makes the call."""
        return None

    def advance(self, response: Any) -> Process:
        """Inside the step with that action."""
        return _reading(self.situation, self.place.advance(response))

    def aside(self) -> Process | None:
        """``None``: this is one."""
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """On a side branch, inside the step of an action that was named: waits for a read."""

    situation: Situation
    step: Acting

    @property
    def call(self) -> Call:
        """The read."""
        return self.step.call

    @property
    def handler(self) -> Handler | None:
        """``None``: the environment's own handler makes the call."""
        return None

    def advance(self, response: Any) -> Process:
        """The next read of the step; or, behind it, the next action to be told."""
        process = self.step.advance(response)
        if isinstance(process, Deciding) and not process.transition.done:
            return Aside(dataclasses.replace(self.situation, now=process.transition.observation), process)
        return _reading(self.situation, process)

    def aside(self) -> Process | None:
        """``None``: this is one."""
        return None


def _reading(situation: Situation, process: Process) -> Reading:
    if not isinstance(process, Acting) or process.call.effect is not Effect.READ:
        raise ValueError(f"only READ calls are prefetched, and this comes to {process.call}")
    return Reading(situation, process)


def prefetch_of(handler: str) -> str:
    """What the trace calls the prefetching during calls of ``handler``."""
    return f"{PREFETCH} {handler}"


@dataclasses.dataclass(frozen=True, slots=True)
class Stepping:
    """Inside a step of an environment that is not a ``CallEnv``: waits for the step, made on a fork."""

    env: AnyEnv
    agent: Agent
    action: Any
    #: The step as a call. Nothing outside the fork depends on it, so it may be made ahead of time.
    call: Call = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        query = (id(self.env), plain(self.action))
        object.__setattr__(self, "call", Call(STEP, query, Effect.SAMPLE, touches=STEP))

    @property
    def handler(self) -> Handler:
        """Steps a fork."""
        return self._step

    def _step(self, query: Any, cancel: CancelToken) -> Stepped:
        env = fork(self.env)
        return Stepped(env, Transition(*env.step(own_copy(self.action))))

    def advance(self, response: Any) -> Process:
        """The fork, after its step."""
        return Deciding(response.env, self.agent, response.transition)

    def aside(self) -> Process | None:
        """``None``: this environment makes no calls of its own."""
        return None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Stepped:
    """A fork that has made its step, and what the step returned. Equal to itself alone."""

    env: AnyEnv
    transition: Transition

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def private_copy(transition: Transition) -> Transition:
    """A copy that its receiver may change: no branch and no query shares an object with it."""
    return dataclasses.replace(
        transition, observation=copy.deepcopy(transition.observation), info=copy.deepcopy(transition.info)
    )
