"""The parts of an episode's steps: environments, transitions, and the agent with its decisions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Self

import gymnasium as gym
import numpy as np

from spec_envs.brief import brief, own_form
from spec_envs.call_env import Answer, CallEnv
from spec_envs.calls import Effect
from spec_envs.checks import reset_parts, step_parts
from spec_envs.errors import NotCopyable, NotForkable
from spec_envs.handling import Handler
from spec_envs.values import is_flat, own_copy, same

AnyEnv = gym.Env[Any, Any]

#: The handler name of the agent's own decision.
POLICY = "policy"


class Transition(NamedTuple):
    """The result of a step or a reset. After a reset, ``reward`` is 0 and both flags are False."""

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
        """Whether observation, reward and flags are equal. Infos are not compared: they may hold times and counts."""
        return (
            bool(self.terminated) is bool(other.terminated)
            and bool(self.truncated) is bool(other.truncated)
            and same(plain_reward(self.reward), plain_reward(other.reward))
            and same(self.observation, other.observation)
        )


def plain_reward(reward: Any) -> Any:
    """Return a number as a ``float``, and any other reward unchanged (though Gymnasium requires a number)."""
    try:
        return float(reward)
    except (TypeError, ValueError):
        return reward


#: ``reset`` or ``step`` of an environment, with its arguments.
Method = Callable[[AnyEnv], Transition]


def resetting(seed: int | None, options: dict[str, Any] | None) -> Method:
    """Return a function that resets an environment with a copy of ``options`` and returns the transition."""
    options = own_copy(options)

    def method(env: AnyEnv) -> Transition:
        observation, info = reset_parts(env, env.reset(seed=seed, options=own_copy(options)))
        return Transition(observation, 0.0, False, False, info)

    return method


def stepping(action: Any) -> Method:
    """Return a function that steps an environment with a copy of ``action`` and returns the transition."""

    def method(env: AnyEnv) -> Transition:
        result = env.step(own_copy(action))
        if type(result) is not tuple or len(result) != 5:  # checked here, because a call in every step takes time
            return Transition(*step_parts(env, result))
        return Transition(*result)

    return method


def within(context: AbstractContextManager[Any], method: Method) -> Method:
    """``method``, run in ``context``."""

    def run_within(env: AnyEnv) -> Transition:
        with context:
            return method(env)

    return run_within


def run_answered(env: AnyEnv, method: Method, answer: Answer) -> Transition:
    """Run ``method`` on ``env`` and let ``answer`` respond to the calls that the environment asks for.

    An environment that is not a ``CallEnv`` asks for no calls.
    """
    unwrapped = env.unwrapped
    if not isinstance(unwrapped, CallEnv):
        return method(env)
    unwrapped.answer_with(answer)
    try:
        return method(env)
    finally:
        unwrapped.answer_with(None)


def private_copy(transition: Transition) -> Transition:
    """Return a copy that its receiver may change: no branch and no query shares an object with the copy.

    An info that cannot be copied is shared.

    Raises:
        NotCopyable: The observation can change and cannot be copied.
    """
    observation, reward, terminated, truncated, info = transition
    if type(reward) is not float:
        reward = own_copy(reward)
    # Without parts, observation and info share no object, and may be copied one by one.
    if not info or (observation is not info and is_flat(info) and _has_no_parts(observation)):
        return Transition(own_copy(observation), reward, terminated, truncated, dict(info or ()))
    try:
        observation, info = own_copy((observation, info))
    except NotCopyable:  # as in the plain loop, the user gets the info itself: no policy and no handler sees the info
        observation = own_copy(observation)
    return Transition(observation, reward, terminated, truncated, info)


def check_copyable(env: AnyEnv, begun: Transition) -> None:
    """Check that ``begun``, the transition of a reset of ``env``, can be copied.

    Raises:
        NotForkable: The observation can change and cannot be copied.
    """
    try:
        private_copy(begun)
    except NotCopyable as error:
        raise NotForkable(f"{env} cannot be speculated on: {error}") from error


def private_copy_or_itself(transition: Transition, told: Callable[[NotCopyable], None]) -> Transition:
    """``private_copy(transition)``; if the observation cannot be copied, call ``told`` and return ``transition``."""
    try:
        return private_copy(transition)
    except NotCopyable as error:
        told(error)
        return transition


def _has_no_parts(observation: Any) -> bool:
    return is_flat(observation) or (type(observation) is np.ndarray and not observation.dtype.hasobject)


@dataclasses.dataclass(frozen=True, slots=True)
class Agent:
    """How actions are chosen: the policy as a handler, and the policy object itself if the policy has state.

    A policy with ``fork()`` may change when it is called, so each branch calls a fork of its own. While the policy has
    not answered, its state after the answer is not known. So an action that is guessed meanwhile leads to an agent with
    ``is_known`` false, and the branch of this action makes no call of the policy.
    """

    handler: Handler | None = None
    effect: Effect = Effect.SAMPLE
    stateful: Any = None
    is_known: bool = True

    def after(self, response: Any) -> Agent:
        """Return the agent after the decision ``response``."""
        if self.stateful is None:
            return self
        if isinstance(response, Decision):
            return dataclasses.replace(self, stateful=response.policy, is_known=True)
        return dataclasses.replace(self, is_known=False)


class EqualToItselfAlone:
    """Base of responses that are never compared by their content, not even by ``key_of``."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __deepcopy__(self, memo: Any) -> Self:
        return self


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Decision(EqualToItselfAlone):
    """An action, and the policy in the state in which choosing the action has left the policy."""

    action: Any
    policy: Any


@own_form.register
def _(transition: Transition) -> str:
    end = " and the episode ends" if transition.done else ""
    return f"{brief(transition.observation)}, reward {brief(transition.reward)}{end}"


def action_of(response: Any) -> Any:
    """Return the action in a policy's response."""
    return response.action if isinstance(response, Decision) else response


def plain(value: Any) -> Any:
    """Return a numpy integer as a Python integer, and any other value unchanged: ``predict`` may exchange them."""
    return int(value) if isinstance(value, np.integer) else value


_INTEGERS = (int, np.integer)


def same_action(one: Any, other: Any) -> bool:
    """Whether two actions or observations are equal; a numpy integer equals the same Python integer."""
    return same(one, other) or (isinstance(other, _INTEGERS) and same(plain(one), plain(other)))


class TimedCount(int):
    """A count in an info that depends on timing: an ``int`` that equals every other ``TimedCount``.

    Infos of equal seeds and actions have to compare equal (Gymnasium's ``check_env``), but speculation changes timing.
    To compare the number itself, compare with a plain ``int``.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TimedCount) or int(self) == other

    __hash__ = int.__hash__
