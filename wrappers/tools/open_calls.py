"""An agent's call from its beginning to its end, event by event: nothing here waits but ``OpenCall.wait``."""

from typing import Any

from spec_envs.values import own_copy
from spec_envs.wrappers.tools.calls import AgentCall, Execution, ExecutionState
from spec_envs.wrappers.tools.driver import ToolDriver
from spec_envs.wrappers.tools.machine import Machine
from spec_envs.wrappers.tools.ports import Port
from spec_envs.wrappers.tools.runs import AgentRun


class OpenCall:
    """A call that an agent has begun. It ends once: by ``got``, ``fail`` or ``abandon``.

    Whoever makes the call calls ``tell`` first. Then, if the call ``is_own``, ``began`` when the tool gets the call,
    and ``returned`` when the tool has answered; else ``wait``, and ``take`` if the call ``is_ready`` then.

    Args:
        machine, driver: The machine and the driver of the proxy.
        state: The agent run; ``None``: the call is outside of all runs.
        port: The port of the tool.
        agent_call: The call.
    """

    def __init__(
        self, machine: Machine, driver: ToolDriver, state: AgentRun | None, port: Port, agent_call: AgentCall
    ) -> None:
        self._machine = machine
        self._driver = driver
        self._state = state
        self._port = port
        self._agent_call = agent_call

    @property
    def is_own(self) -> bool:
        """Whether the agent must execute the call itself: no result of an equal call is there or under way."""
        return self._agent_call.is_own

    @property
    def is_ready(self) -> bool:
        """Whether the result of an equal call is there."""
        return not self.is_own and self._execution.state is ExecutionState.DONE

    @property
    def _execution(self) -> Execution:
        assert self._agent_call.execution is not None
        return self._agent_call.execution

    def tell(self) -> None:
        """Note in the trace that the agent has called, and do what follows for other calls."""
        self._driver.called(self._state, self._agent_call)
        self._driver.carry_out()

    def began(self) -> None:
        """The tool gets the agent's own call now."""
        self._driver.began(self._execution)

    async def wait(self) -> None:
        """Wait until ``is_ready``; or else the call ``is_own`` from now on, because the equal one has failed."""
        await self._driver.wait_for(self._execution)
        if not self.is_ready:  # nobody sees the error: the agent executes the call itself
            self._machine.call_again(self._state, self._agent_call, self._driver.runtime.now())
            self._driver.carry_out()

    def take(self) -> Any:
        """Return a copy of the result that ``is_ready``."""
        return own_copy(self._machine.take_result(self._agent_call))

    def returned(self, value: Any) -> None:
        """The agent's own execution has returned ``value``."""
        self._driver.record_result(self._execution, self._port, value)

    def got(self, value: Any) -> None:
        """The agent has got ``value``."""
        content, is_error = (None, False) if self._state is None else _seen(self._port, value)
        self._machine.end_call(self._state, self._agent_call, content, error=is_error)
        self._driver.got(self._state, self._agent_call)
        self._driver.carry_out()

    def fail(self, error: Exception) -> None:
        """The agent gets ``error``, which its own execution has raised."""
        if self.is_own:
            self._driver.end(self._execution, ExecutionState.FAILED, error=repr(error))
        self._machine.end_call(self._state, self._agent_call, str(error), error=True)
        self._driver.got(self._state, self._agent_call, error=True)
        self._driver.carry_out()

    def abandon(self, error: BaseException) -> None:
        """The agent does not want the result any more, because of ``error``."""
        if self.is_own:
            self._driver.end(self._execution, ExecutionState.CANCELLED, error=repr(error))
        self._machine.abandon_call(self._state, self._agent_call)
        self._driver.carry_out()


def _seen(port: Port, value: Any) -> tuple[Any, bool]:
    """Return what guessers see of a result, and whether it is an error. A failure here must not hinder the agent."""
    try:
        return own_copy(port.seen(value)), not port.usable(value)
    except Exception as problem:
        return f"cannot be read: {problem!r}", True
