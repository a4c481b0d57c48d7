"""The plain loop: decisions and steps without forks, tree and worker threads, but with the same books.

``Session`` plays plainly where there is nothing to guess, where forks cannot be relied on, and where the guard decides
so.
"""

from __future__ import annotations

import collections
import functools
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from spec_envs.calls import Call
from spec_envs.errors import EnvClosed, NotCopyable
from spec_envs.handling import CancelToken, Handler, answered, is_async
from spec_envs.usage import NOTHING, Usage
from spec_envs.values import own_copy
from spec_envs.wrappers.quota import Quota
from spec_envs.wrappers.runtimes.base import Job, Runtime
from spec_envs.wrappers.speculation.episode import STEP, Deciding, Stepped
from spec_envs.wrappers.speculation.ledger import Ledger
from spec_envs.wrappers.speculation.transitions import (
    POLICY,
    AnyEnv,
    Method,
    Transition,
    action_of,
    private_copy,
    private_copy_or_itself,
)

#: The number of calls that are remembered, to tell the tree how long calls take when no other call is beside them.
_MADE = 32
#: Waits as ``Runtime.wait`` does, on an event loop.
Changed = Callable[[float | None], Awaitable[None]]


class PlainSteps:
    """Makes the calls of an episode in the caller's thread, one after the other.

    Args:
        runtime: Gives the clock and the tokens.
        handler: ``handler(name)`` returns the handler of this name; raises ``UnknownHandler`` if there is none.
        ledger: Trace and statistics.
        keep: Told of each call and its response: the name of the handler, the call or its place, and the response.
        quotas: The quotas of handlers, by name. The tree's calls count against the same quotas.

    Attributes:
        place: Where the episode stands between two steps, while it is played plainly.
        step_s: How long the last step took, if the environment does not ask for calls.
        made: The last calls: the name of the handler, how long the call took, and what it cost. Cleared if calls of the
            tree were still under way, because beside them a call may take longer than usual.
    """

    def __init__(
        self,
        runtime: Runtime,
        handler: Callable[[str], Handler],
        ledger: Ledger,
        keep: Callable[[str, Call | Deciding, Any], None] | None,
        quotas: Mapping[str, Quota],
    ) -> None:
        self.place: Deciding | None = None
        self.step_s = 0.0
        self.made: collections.deque[tuple[str, float, Usage]] = collections.deque(maxlen=_MADE)
        self._runtime = runtime
        self._now = runtime.now
        self._handler = handler
        self._ledger = ledger
        self._keep = keep
        self._quotas = quotas
        self._decided: tuple[Deciding, Any] | None = None
        self._token: CancelToken | None = None
        self._under_way: _UnderWay | None = None
        self._closed = False

    def decide(self, observation: Any) -> Any:
        """The policy's response at this point of the episode; a second call returns the same response.

        The policy gets the user's ``observation`` itself, as without a wrapper, because a copy may take as long as the
        rest of the step.
        """
        place = self.place
        assert place is not None
        if self._decided is None or self._decided[0] is not place:
            handler = place.handler or self._handler(POLICY)
            response = self._run(POLICY, functools.partial(handler, observation), place.transition.observation)
            self._decided = place, response
        return self._decided[1]

    async def decide_awaited(self, observation: Any, changed: Changed) -> Any:
        """Like ``decide``, on an event loop. The call goes on if the awaiting task is cancelled."""
        place = self.place
        assert place is not None
        if self._decided is None or self._decided[0] is not place:
            handler = place.handler or self._handler(POLICY)
            shown = place.transition.observation
            self._decided = place, await self._run_awaited(POLICY, place, handler, observation, shown, changed)
        return self._decided[1]

    async def answer_awaited(self, call: Call, changed: Changed) -> Any:
        """Like ``answer``, on an event loop. The call goes on if the awaiting task is cancelled."""
        handler = self._handler(call.handler)
        response = await self._run_awaited(call.handler, call, handler, call.query, call.query, changed)
        if self._keep is not None:
            self._keep(call.handler, call, response)
        return response

    async def _run_awaited(
        self, name: str, asked: Deciding | Call, handler: Handler, query: Any, shown: Any, changed: Changed
    ) -> Any:
        call = self._under_way
        if call is None or call.asked != asked:
            self.drop()
            call = self._under_way = _UnderWay(self._runtime, name, asked, handler, query)
        while not call.is_done:
            if self._closed:
                raise EnvClosed("the wrapper was closed while a response was awaited; make a new one")
            await changed(None)
        self._under_way, usage = None, call.token.usage()[1]
        if call.error is not None:
            self._failed(name, call.started_at, usage, shown, call.error)
            raise call.error
        response = action_of(call.response)
        self._ledger.played((name, call.started_at, call.ended_at, usage, shown, response, name != POLICY))
        self.made.append((name, call.ended_at - call.started_at, usage))
        return call.response

    def drop(self) -> None:
        """Give up the call that is under way on the event loop, if there is one."""
        call, self._under_way = self._under_way, None
        if call is not None:
            call.token.cancel()
            self._ledger.given_up(call.name, call.started_at, self._now(), call.token.usage()[0])

    def decided(self, place: Deciding, response: Any) -> None:
        """The episode goes on from ``place`` with ``response``."""
        if self._keep is not None:
            self._keep(POLICY, place, action_of(response))
        self._ledger.played((POLICY, None, self._now(), NOTHING, None, None, True))

    def answer(self, call: Call) -> Any:
        """Make a call of the environment, and return the response."""
        handler = self._handler(call.handler)
        response = self._run(call.handler, lambda cancel: handler(own_copy(call.query), cancel), call.query)
        if self._keep is not None:
            self._keep(call.handler, call, response)
        return own_copy(response)

    def step(
        self, env: AnyEnv, method: Method, uncopied: Callable[[NotCopyable], None]
    ) -> tuple[Transition, Transition]:
        """Make the step of an environment that does not ask for calls: the step itself is the call.

        Args:
            env: The environment.
            method: The step.
            uncopied: Called if the observation cannot be copied.

        Returns:
            The transition of the step, and a private copy; twice the transition itself if it cannot be copied.
        """
        if STEP in self._quotas:
            stepped = self._run(STEP, lambda cancel: Stepped(env, method(env)), None).transition
            return stepped, private_copy_or_itself(stepped, uncopied)
        started_at = self._now()
        try:
            transition = method(env)
        except BaseException as error:
            self._failed(STEP, started_at, NOTHING, None, error)
            raise
        ended_at = self._now()
        try:  # not private_copy_or_itself: here, each call of a function costs noticeable time
            own = private_copy(transition)
        except NotCopyable as error:
            uncopied(error)
            own = transition
        self.step_s = ended_at - started_at
        self._ledger.played((STEP, started_at, ended_at, NOTHING, None, own, True))
        self.made.append((STEP, self.step_s, NOTHING))
        return transition, own

    def close(self) -> None:
        """Tell the call under way, if any, to stop. A caller that waits for it gets ``EnvClosed``."""
        self._closed = True
        self.drop()
        if (token := self._token) is not None:
            token.cancel()

    def _run(self, name: str, function: Callable[[CancelToken], Any], query: Any) -> Any:
        runtime, quota, now = self._runtime, self._quotas.get(name), self._now
        token = self._token = runtime.token()
        if quota is not None:
            self._take_turn(quota, token)
        started_at = now()
        try:
            response = own_copy(runtime.run_here(function, token))
        except BaseException as error:
            self._failed(name, started_at, token.usage()[1], query, error)
            raise
        finally:
            if quota is not None:
                with runtime.lock:
                    quota.end(token)
        ended_at, usage = now(), token.usage()[1]
        # The policy's decision becomes final only when the user makes a step with it.
        self._ledger.played((name, started_at, ended_at, usage, query, action_of(response), name != POLICY))
        self.made.append((name, ended_at - started_at, usage))
        return response

    def _failed(self, name: str, started_at: float, usage: Usage, query: Any, error: BaseException) -> None:
        self._ledger.played_in_vain(name, started_at, self._runtime.now(), usage, query, error)
        if self._closed:
            raise EnvClosed("the wrapper was closed while a response was awaited; make a new one") from None

    def _take_turn(self, quota: Quota, call: CancelToken) -> None:
        """Wait until the limit of the handler lets ``call`` begin, and count it."""
        with self._runtime.lock:
            asked_at = self._now()
            while (begins_at := quota.authoritative_from(self._runtime.now())) is not None:
                self._runtime.wait(None if math.isinf(begins_at) else begins_at)
                if self._closed:
                    raise EnvClosed("the wrapper was closed while a response was awaited; make a new one")
            begins_at = self._now()
            self._ledger.held(begins_at - asked_at)
            quota.let(call, speculative=False)
            quota.began(call, begins_at)


class _UnderWay:
    """A call on an event loop, in a task of its own or on a worker thread; ``asked`` is the call, or its place."""

    def __init__(self, runtime: Runtime, name: str, asked: Deciding | Call, handler: Handler, query: Any) -> None:
        self.name, self.asked = name, asked
        self.token = runtime.token()
        self.is_done = False
        self.response: Any = None
        self.error: BaseException | None = None
        self._now = runtime.now
        self.started_at = self.ended_at = runtime.now()
        runtime.spawn(
            Job(name, lambda cancel: answered(handler, query, cancel), self._deliver, self.token, is_async(handler))
        )

    def _deliver(self, response: Any, error: BaseException | None) -> None:
        self.response, self.error = response, error
        self.is_done, self.ended_at = True, self._now()
