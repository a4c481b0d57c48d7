"""How an environment's straight-line code runs on an event loop, where it cannot wait.

The environment's calls are awaited outside of the environment. Where the code comes to a call without a response yet,
the code is left, as on a fork, and is run again from its beginning with one more response. The three rules of
``CallEnv`` make that safe: a step is deterministic, draws from the environment's own generator, whose state is put
back, and changes nothing before its last call is answered. Wrappers around the environment may have changed by then (a
counter, a flag), so the attributes of every layer are put back too.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import gymnasium as gym

from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.errors import CallPending, NotForkable
from spec_envs.values import own_copy
from spec_envs.wrappers.speculation.transitions import AnyEnv, Method, Transition


@dataclasses.dataclass(frozen=True, slots=True)
class Answered:
    """A call, and its response or its error."""

    call: Call  # the call
    response: Any = None  # what the handler returned
    error: Exception | None = None  # what the handler raised instead
    foreseen: bool = True  # whether a fork has asked for the call, and not the environment itself


async def run_awaited(
    env: AnyEnv,
    method: Method,
    answer: Callable[[Call, list[Answered]], Awaitable[Any]],
    answers: list[Answered] | None = None,
) -> Transition:
    """Run ``method`` on ``env`` itself, to its end, awaiting the responses to its calls.

    Args:
        env: Any environment. If it does not ask for its calls, ``method`` just runs.
        method: ``reset`` or ``step``, with its arguments.
        answer: Returns the response to a call, given the calls that have been answered before.
        answers: The expected calls with their answers, in order; changed in place to the calls that were really made.

    Raises:
        NotForkable: The same step asked for another call when it was run again: it breaks the rules of ``CallEnv``.
        Exception: Whatever ``method`` or a handler raises.
    """
    unwrapped = env.unwrapped
    if not isinstance(unwrapped, CallEnv):
        return method(env)
    answers = [] if answers is None else answers
    while True:
        put_back = _snapshot(env, unwrapped)
        known = _KnownAnswers(answers)
        unwrapped.answer_with(known)
        try:
            return method(env)
        except CallPending as pending:
            call = pending.call
        finally:
            unwrapped.answer_with(None)
        put_back()
        if known.count < len(answers) and not answers[known.count].foreseen:
            raise NotForkable(
                f"{env} asked for {call} where it had asked for {answers[known.count].call}, in the same state and "
                f"after the same responses; on an event loop a step has to be a function of these"
            )
        del answers[known.count :]
        answers.append(await _outcome(call, answers, answer))


def _snapshot(env: AnyEnv, unwrapped: CallEnv[Any, Any]) -> Callable[[], None]:
    """Return a function that puts back the present attributes of every layer and the state of the random generator."""
    layers = [unwrapped, *_wrappers(env)]
    attributes, rng_state = [dict(vars(layer)) for layer in layers], unwrapped.rng_state()

    def put_back() -> None:
        for layer, saved in zip(layers, attributes, strict=True):
            vars(layer).clear()
            vars(layer).update(saved)
        if rng_state is not None:
            unwrapped.np_random.bit_generator.state = dict(rng_state)

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


class _KnownAnswers:
    """Gives the known answers in order and counts them; raises ``CallPending`` at the first call without an answer."""

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
