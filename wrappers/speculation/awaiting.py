"""How an environment's straight-line code is run where it cannot wait: on an event loop.

Its calls are awaited outside of it. Where it comes to one whose response is not there yet, it is left, as on a fork,
and run again from its beginning with one response more. The three rules of ``CallEnv`` make that safe: a step is
deterministic, draws from its own generator, which is put back, and changes nothing before its last call is answered.
Wrappers around it do change by then (a counter, a flag), so the attributes of every layer are put back too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from spec_envs.call_env import CallEnv
from spec_envs.errors import CallPending, NotForkable
from spec_envs.values import own_copy

if TYPE_CHECKING:
    from spec_envs.calls import Call
    from spec_envs.wrappers.speculation.episode import AnyEnv, Transition


@dataclasses.dataclass(frozen=True, slots=True)
class Answered:
    """A call and what came of it.

    Args:
        call: The call.
        response: What its handler returned.
        error: What it raised instead.
        foreseen: Whether a fork had asked for it, and not the environment itself.
    """

    call: Call
    response: Any = None
    error: Exception | None = None
    foreseen: bool = True


async def awaited(
    env: AnyEnv,
    method: Callable[[AnyEnv], Transition],
    answer: Callable[[Call, list[Answered]], Awaitable[Any]],
    answers: list[Answered] | None = None,
) -> Transition:
    """Run ``method`` on ``env`` itself, to its end.

    Args:
        env: Any environment; one that does not ask just runs.
        method: ``reset`` or ``step`` of it.
        answer: Gives the response to a call, after those given.
        answers: Calls that are expected, in order. Changed in place to those that were really asked for.

    Raises:
        NotForkable: The same step asked for something else when it was run again: it breaks the rules of ``CallEnv``.
        Exception: What ``method`` raises, as what a handler raised does.
    """
    unwrapped = env.unwrapped
    if not isinstance(unwrapped, CallEnv):
        return method(env)
    answers = [] if answers is None else answers
    while True:
        put_back = _snapshot(env, unwrapped)
        asked = _Asked(answers)
        unwrapped.answer_with(asked)
        try:
            return method(env)
        except CallPending as pending:
            call = pending.call
        finally:
            unwrapped.answer_with(None)
        put_back()
        if asked.count < len(answers) and not answers[asked.count].foreseen:
            raise NotForkable(
                f"{env} asked for {call} where it had asked for {answers[asked.count].call}, in the same state and "
                f"after the same responses; on an event loop a step has to be a function of these"
            )
        del answers[asked.count :]
        answers.append(await _outcome(call, answers, answer))


def _snapshot(env: AnyEnv, unwrapped: CallEnv[Any, Any]) -> Callable[[], None]:
    """Gives every layer the attributes back that it has now, and the random generator its state."""
    layers = [unwrapped, *_wrappers(env)]
    attributes, drawn = [dict(vars(layer)) for layer in layers], unwrapped.rng_state()

    def put_back() -> None:
        for layer, known in zip(layers, attributes, strict=True):
            vars(layer).clear()
            vars(layer).update(known)
        if drawn is not None:
            unwrapped.np_random.bit_generator.state = dict(drawn)

    return put_back


def _wrappers(env: AnyEnv) -> Iterator[AnyEnv]:
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env


async def _outcome(
    call: Call, answers: list[Answered], answer: Callable[[Call, list[Answered]], Awaitable[Any]]
) -> Answered:
    try:
        return Answered(call, await answer(call, answers), foreseen=False)
    except Exception as error:
        return Answered(call, error=error, foreseen=False)


class _Asked:
    """Answers the calls that have an answer, and counts them; raises ``CallPending`` at the first that has none."""

    def __init__(self, answers: list[Answered]) -> None:
        self._answers = answers
        self.count = 0

    def __call__(self, call: Call) -> Any:
        if self.count == len(self._answers) or self._answers[self.count].call != call:
            raise CallPending(call)
        answered = self._answers[self.count]
        self.count += 1
        if answered.error is not None:
            raise answered.error
        return own_copy(answered.response)
