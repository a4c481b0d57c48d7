"""Servers that run as processes of their own, on their standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from spec_envs.errors import InvalidConfiguration
from spec_envs.integrations.mcp_proxy.channels import nothing
from spec_envs.integrations.mcp_proxy.flow import MUCH
from spec_envs.integrations.mcp_proxy.lines import Lines, Message, Receive, encoded

#: For how long a server may take to end before it is asked to, and then is killed. Clients are patient for two seconds.
_GRACE_S = 1.5
#: Variables of the environment that Python sets where there is no other locale than C, and that Gymnasium sets.
_SET_HERE = ("LC_CTYPE", "PYGAME_HIDE_SUPPORT_PROMPT")


class _Pipes(asyncio.SubprocessProtocol):
    """The output of a server's process, whether its input is full, and whether the process has ended."""

    def __init__(self) -> None:
        self.lines: Lines | None = None
        self.on_flow: Callable[[], None] = nothing
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._early: list[bytes] = []

    def read_into(self, lines: Lines) -> None:
        """Have ``lines`` get the output of the process."""
        self.lines = lines
        for data in self._early:
            lines.feed(data)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """The process has written something; no bytes: its output has ended."""
        if self.lines is None:
            self._early.append(data)
        else:
            self.lines.feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """A pipe has ended."""
        if fd == 1:
            self.pipe_data_received(fd, b"")

    def resume_writing(self) -> None:
        """The process has read what waited."""
        self.on_flow()

    def process_exited(self) -> None:
        """The process has ended."""
        self.exited.set_result(None)


class Child:
    """A server that runs as a process of its own, on its standard input and output."""

    def __init__(self, process: asyncio.SubprocessTransport, pipes: _Pipes, name: str) -> None:
        self.on_flow: Callable[[], None] = nothing
        self._process = process
        self._pipes = pipes
        pipes.on_flow = lambda: self.on_flow()
        self._name = name
        self._in = cast("asyncio.WriteTransport", process.get_pipe_transport(0))
        self._out = cast("asyncio.ReadTransport", process.get_pipe_transport(1))
        self._in.set_write_buffer_limits(high=MUCH)
        self._is_held = False

    @classmethod
    @contextlib.asynccontextmanager
    async def of(
        cls, name: str, command: Sequence[str], env: Mapping[str, str], cwd: str | None
    ) -> AsyncIterator[Child]:
        """The server ``name``, which runs inside of the ``async with``.

        Raises:
            InvalidConfiguration: The command cannot be started.
        """
        try:
            process, pipes = await asyncio.get_running_loop().subprocess_exec(
                _Pipes, *command, stderr=None, env={**_given_environment(), **env}, cwd=cwd
            )
        except (OSError, ValueError) as error:
            raise InvalidConfiguration(f"the server {name!r} cannot be started: {' '.join(command)}: {error}") from None
        child = cls(process, pipes, name)
        try:
            yield child
        finally:
            await child.close()

    @property
    def backlog(self) -> int:
        """The number of bytes that the server has no room for yet."""
        return self._in.get_write_buffer_size()

    def send(self, message: Message, line: bytes | None = None) -> None:
        """Send a message."""
        self._in.write(line or encoded(message))
        if self._in.is_closing():
            raise ConnectionError("the server does not read any more")
        if self.backlog > MUCH:
            self.on_flow()

    async def read(self, receive: Receive) -> None:
        """Call ``receive`` with each message, until the output of the server ends."""
        lines = Lines(f"the server {self._name!r}", receive, self._set_reading)
        lines.hold(self._is_held)
        self._pipes.read_into(lines)
        await lines.ended

    def _set_reading(self, reads: bool) -> None:
        (self._out.resume_reading if reads else self._out.pause_reading)()

    def hold(self, held: bool) -> None:
        """Read nothing more until ``held`` is false again."""
        if held is not self._is_held:
            self._is_held = held
            if self._pipes.lines is not None:
                self._pipes.lines.hold(held)

    async def close(self) -> None:
        """End the server: close its input, then ask it to end, then kill it."""
        self._in.close()
        try:
            for end in (None, self._process.terminate, self._process.kill):
                with contextlib.suppress(ProcessLookupError):
                    if end is not None:
                        end()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self._pipes.exited), _GRACE_S)
                    return
        finally:
            self._process.close()


def _given_environment() -> dict[str, str]:
    """The variables that the proxy was given, without those that Python and Gymnasium have set."""
    given = dict(os.environ)
    with contextlib.suppress(OSError):  # another system than Linux
        first = Path("/proc/self/environ").read_bytes().split(b"\0")
        for name in _SET_HERE:
            if not any(each.startswith(f"{name}=".encode()) for each in first):
                given.pop(name, None)
    return given
