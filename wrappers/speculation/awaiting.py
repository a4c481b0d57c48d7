"""Runs an environment's straight-line code on an event loop, where the code cannot wait.

The environment's calls are awaited outside of the environment. Where the code comes to a call that has no response yet,
the code is left, as on a fork. It is run again from its beginning with one more response. The three rules of
``CallEnv`` make this safe: a step is deterministic; it draws only from the environment's own generator, whose state is
put back; and it changes nothing before its last call is answered.

Environments and the wrappers around them may change something earlier all the same (a counter, a list). Such changes
are undone. If attributes are only set, they are set back. If an attribute may change in place, forks try the step until
all of its calls have answers.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import gymnasium as gym

from spec_envs.call_env import CallEnv, draws_from_spaces
from spec_envs.calls import Call
from spec_envs.errors import CallPending, NotCopyable, NotForkable
from spec_envs.forking import fork
from spec_envs.forking.kinds import shared_by_wrappers
from spec_envs.immutable import ATOMS
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
        NotForkable: When the step was run again, it asked for another call: it breaks the rules of ``CallEnv``.
        Exception: Whatever ``method`` or a handler raises.
    """
    unwrapped = env.unwrapped
    if not isinstance(unwrapped, CallEnv):
        return method(env)
    answers = [] if answers is None else answers
    trying = _changes_in_place(env)
    while True:
        known = _KnownAnswers(answers)
        on = _fork_of(env) if trying else env
        put_back = _snapshot(env, unwrapped) if on is env else None
        try:
            transition = _run(on, method, known)
        except Exception:
            if on is env:
                raise
            trying = False  # from here on the environment itself makes the step, and may raise the error
            continue
        if known.pending is None:
            if transition is not None and on is env:
                return transition
            trying = False
            continue
        if put_back is not None:
            put_back()
        known.check(env)
        del answers[known.count :]
        answers.append(await _outcome(known.pending, answers, answer))


def _run(env: AnyEnv, method: Method, known: "_KnownAnswers") -> Transition | None:
    """Run ``method`` until its end or until a call without an answer, which is then added to ``known``."""
    unwrapped = env.unwrapped
    assert isinstance(unwrapped, CallEnv)
    unwrapped.answer_with(known)
    try:
        return method(env)
    except CallPending:
        return None
    except Exception:
        if known.pending is None:
            raise
        return None  # the code has raised because it went on without an answer
    finally:
        unwrapped.answer_with(None)


def _fork_of(env: AnyEnv) -> AnyEnv:
    """A fork of ``env``; ``env`` itself if it cannot be forked."""
    try:
        return fork(env)
    except NotForkable:
        return env


#: The attributes of environments whose values are not changed in place.
_KEPT = frozenset({"env", "handlers", "action_space", "observation_space", "metadata", "spec", "_np_random", "_shared"})


def _changes_in_place(env: AnyEnv) -> bool:
    """Whether a layer has an attribute that may change without being set, such as a list."""
    for layer in (env.unwrapped, *_wrappers(env)):
        if isinstance(layer, CallEnv) and draws_from_spaces(type(layer)):  # type: ignore[arg-type]  # not hashable?
            return True
        kept = _KEPT | layer.shared_on_fork if isinstance(layer, CallEnv) else shared_by_wrappers(type(layer)) | {"env"}
        for name, value in vars(layer).items():  # not a generator, which would take longer, in every step
            if type(value) not in ATOMS and name not in kept and _may_change(value):
                return True
    return False


def _may_change(value: Any) -> bool:
    try:
        return type(value) in (list, dict, set) or own_copy(value) is not value
    except NotCopyable:
        return True


def _snapshot(env: AnyEnv, unwrapped: CallEnv[Any, Any]) -> Callable[[], None]:
    """Return a function that puts back the present attributes of each layer and the state of the random generator."""
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
    """Gives the known answers in order and counts them; raises ``CallPending`` at the first call without an answer.

    Attributes:
        count: The number of answers that were given.
        pending: The call without an answer, even if the environment has caught the exception and gone on (``except:``).
    """

    def __init__(self, answers: list[Answered]) -> None:
        self._answers = answers
        self.count = 0
        self.pending: Call | None = None

    def __call__(self, call: Call) -> Any:
        if self.pending is not None or self.count == len(self._answers) or self._answers[self.count].call != call:
            self.pending = self.pending or call
            raise CallPending(call)
        answered = self._answers[self.count]
        self.count += 1
        if answered.error is not None:
            raise answered.error
        return own_copy(answered.response)

    def check(self, env: AnyEnv) -> None:
        """Check that the call without an answer is the same as in the run before, if there was a run before.

        Raises:
            NotForkable: It is another call.
        """
        if self.count < len(self._answers) and not self._answers[self.count].foreseen:
            raise NotForkable(
                f"{env} asked for {self.pending} where it had asked for {self._answers[self.count].call}, in the same "
                f"state and after the same responses; on an event loop a step has to be a function of these"
            )
