"""The plain loop: decisions and steps without forks, tree and worker threads, but with the same books.

``Session`` plays plainly where nothing can be guessed, where forks are not relied on, and where the guard wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spec_envs.calls import Call
from spec_envs.errors import EnvClosed
from spec_envs.handling import CancelToken, Handler, Usage, answered
from spec_envs.wrappers.runtimes.base import Runtime
from spec_envs.wrappers.speculation.episode import STEP, Deciding
from spec_envs.wrappers.speculation.ledger import Ledger
from spec_envs.wrappers.speculation.transitions import POLICY, AnyEnv, Method, Transition, action_of


class PlainLoop:
    """Makes the calls of an episode in the caller's thread, one after the other.

    Args:
        runtime: Its clock and its tokens are used.
        handler: Gives the handler of a name; raises ``UnknownHandler`` where there is none.
        ledger: Trace and statistics.
        keep: Told of each call and its response.
        made: Told of the name of each handler that was called, how long that took, and what it cost.

    Attributes:
        place: Where the episode stands between two steps, while it is played plainly.
    """

    def __init__(
        self,
        runtime: Runtime,
        handler: Callable[[str], Handler],
        ledger: Ledger,
        keep: Callable[[Call, Any], None],
        made: Callable[[str, float, Usage], None],
    ) -> None:
        self.place: Deciding | None = None
        self._runtime = runtime
        self._handler = handler
        self._ledger = ledger
        self._keep = keep
        self._made = made
        self._decided: tuple[Deciding, Any] | None = None
        self._token: CancelToken | None = None
        self._closed = False

    def decide(self, place: Deciding) -> Any:
        """The policy's response at ``place``; asked again there, the policy has decided already."""
        call = place.call
        assert call is not None
        if self._decided is None or self._decided[0] is not place:
            handler = place.handler or self._handler(call.handler)
            self._decided = place, self._run(call.handler, lambda cancel: answered(handler, call.query, cancel))
        return self._decided[1]

    def decided(self, place: Deciding, response: Any) -> None:
        """The episode goes on from ``place`` with ``response``."""
        if place.call is not None:
            self._keep(place.call, action_of(response))
        self._ledger.moved_on(self._runtime.now(), POLICY)

    def answer(self, call: Call) -> Any:
        """The response to a call of the environment."""
        handler = self._handler(call.handler)
        response = self._run(call.handler, lambda cancel: answered(handler, call.query, cancel))
        self._keep(call, response)
        self._ledger.moved_on(self._runtime.now(), call.handler)
        return response

    def step(self, env: AnyEnv, method: Method) -> Transition:
        """Make the step of an environment that does not ask for calls: the step itself is the call."""
        transition: Transition = self._run(STEP, lambda cancel: method(env))
        self._ledger.moved_on(self._runtime.now(), STEP)
        return transition

    def close(self) -> None:
        """Tell the call under way, if any, to stop; whoever waits for it gets ``EnvClosed``."""
        self._closed = True
        if (token := self._token) is not None:
            token.cancel()

    def _run(self, name: str, function: Callable[[CancelToken], Any]) -> Any:
        token = self._token = self._runtime.token()
        started_at = self._runtime.now()
        try:
            response = self._runtime.run_here(function, token)
        except BaseException as error:
            self._ledger.played(name, started_at, self._runtime.now(), token.usage()[1], error)
            if self._closed:
                raise EnvClosed("the wrapper was closed while a response was awaited; make a new one") from None
            raise
        ended_at, usage = self._runtime.now(), token.usage()[1]
        self._ledger.played(name, started_at, ended_at, usage, None)
        self._made(name, ended_at - started_at, usage)
        return response
