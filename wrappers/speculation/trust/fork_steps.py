"""The steps that forks of one environment make side by side, and what happens if they draw from global generators.

``random`` and ``np.random`` are shared by all of the program: a step that draws from one of them on a fork moves it for
the episode, too. Such a step is found by what it has moved, the generator is set back, and no fork makes a step again.
So it is with steps that change a variable of a module or a class, which cannot be set back.
"""

import collections
import contextvars
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from spec_envs.errors import NotForkable
from spec_envs.forking import fork
from spec_envs.global_generators import GlobalGenerators
from spec_envs.pickling import NotPicklable
from spec_envs.values import own_copy
from spec_envs.wrappers.speculation.transitions import AnyEnv, Transition
from spec_envs.wrappers.speculation.trust.contexts import run_apart
from spec_envs.wrappers.speculation.trust.outside import SHARED
from spec_envs.wrappers.speculation.trust.watch import Watch

#: How often a step is seen to move a generator until the step is blamed, and not another thread.
_TIMES = 3
#: How many forks are kept whose step has raised an error.
_LATEST = 8

_T = TypeVar("_T")


class ForkSteps(NotPicklable):
    """Makes the steps of forks of one environment, on any thread.

    Steps of forks are made side by side. Entered as a context (``with``), no fork makes a step: the environment itself
    is stepped so, because both may draw from the same generator.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._num_steps = self._num_inquiries = 0
        self._is_held = False
        self._before: GlobalGenerators | None = None  # when the first of the steps under way began
        self._watch: Watch | None = None
        self._refusal: str | None = None
        self._left: collections.deque[tuple[Exception, AnyEnv]] = collections.deque(maxlen=_LATEST)

    def step(self, env: AnyEnv, action: Any) -> tuple[AnyEnv, Transition]:
        """A fork of ``env`` that has made a step, and what the step returned.

        Raises:
            NotForkable: This step draws from a global generator, or another one did; the generator is now as it was
                before the first of the steps of forks that were under way.
            Exception: What the step raised.
        """
        self._begin()
        try:
            twin, result, moved = self._stepped(env, action)
        except BaseException:
            self._end()
            raise
        if moved is None:
            self._end()
        else:
            twin, result = self._inquire(env, action)
        if isinstance(result, Exception):
            self._left.append((result, twin))
            raise result
        return twin, result

    def watch(self, env: AnyEnv) -> None:
        """From now on check after every step what the code of ``env`` can change outside of ``env``."""
        self._watch = Watch(env)

    def left_by(self, error: Exception) -> AnyEnv | None:
        """The fork whose step has raised ``error``, as left by the step; ``None`` if the fork is no longer known."""
        return next((twin for raised, twin in tuple(self._left) if raised is error), None)

    def __enter__(self) -> None:
        with self._lock:  # not the condition, and not wait_for: every plain step comes here
            while self._is_held or self._num_steps or self._num_inquiries:
                self._changed.wait()
            self._is_held = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_held = False
            self._changed.notify_all()

    # -- a step of a fork ----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_held or self._num_inquiries))
            if self._refusal is not None:
                raise NotForkable(self._refusal)
            if not self._num_steps:
                self._before = GlobalGenerators()
            self._num_steps += 1

    def _end(self) -> None:
        with self._changed:
            self._num_steps -= 1
            self._changed.notify_all()

    def _inquire(self, env: AnyEnv, action: Any) -> tuple[AnyEnv, Transition | Exception]:
        """Make a step again, alone: a generator has moved during the step, and another step may have moved it."""
        with self._changed:
            self._num_steps -= 1
            self._num_inquiries += 1
            self._changed.notify_all()
        try:
            with self._changed:  # held: all other steps of forks and of the environment wait
                self._changed.wait_for(lambda: not (self._is_held or self._num_steps))
                return self._made_again(env, action)
        finally:
            with self._changed:
                self._num_inquiries -= 1
                self._changed.notify_all()

    def _made_again(self, env: AnyEnv, action: Any) -> tuple[AnyEnv, Transition | Exception]:
        if self._refusal is None:
            for _ in range(_TIMES - 1):
                twin, result, moved = self._stepped(env, action)
                if moved is None:
                    return twin, result
            assert self._before is not None
            if self._before.moved() is not None:
                self._before.restore()
            self._refusal = f"the step with {action!r:.80} {moved}"
        raise NotForkable(self._refusal)

    def _stepped(self, env: AnyEnv, action: Any) -> tuple[AnyEnv, Transition | Exception, str | None]:
        """A fork that has made a step, the step's result or error, and which shared state has changed meanwhile."""
        twin, before, watch = fork(env), GlobalGenerators(), self._watch
        marks = None if watch is None else watch.marks()
        result, variable = run_apart(lambda: _outcome_of_step(twin, action))
        moved = before.moved()
        if moved is not None:
            return twin, result, f"draws from the global generator {moved}; use self.np_random"
        if variable is not None:
            return twin, result, f"sets the context variable {variable!r}; keep it in the environment"
        name = None if watch is None or marks is None else watch.change(marks)
        if name is not None:
            return twin, result, f"changes {name}, {SHARED}"
        return twin, result, None


def _outcome_of_step(env: AnyEnv, action: Any) -> Transition | Exception:
    try:
        return Transition(*env.step(own_copy(action)))
    except Exception as error:
        return error


def undrawn(run: Callable[[], _T]) -> _T:
    """Call ``run``, which tries a method on a fork, return its result, and leave the global generators unmoved.

    A generator that moves each time is moved by the method, not by another thread: it is set back.

    Raises:
        Exception: What ``run`` raises.
    """
    outcome, failure = None, None
    first = before = GlobalGenerators()
    for _ in range(_TIMES):
        outcome, failure = _outcome(run)
        if before.moved() is None:
            break
        before = GlobalGenerators()
    else:
        first.restore()
    if failure is not None:
        raise failure
    return cast(_T, outcome)


def _outcome(run: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
    """Call ``run`` in a context of its own, and return its result or its error."""
    try:
        return contextvars.copy_context().run(run), None
    except Exception as error:
        return None, error
