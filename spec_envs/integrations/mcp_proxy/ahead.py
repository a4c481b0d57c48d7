"""Calls ahead of time: the client's likely next calls are made while its model thinks."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
import uuid
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Self

from spec_envs.calls import Effect
from spec_envs.integrations.mcp_proxy.answers import MAX_KEPT, Answer
from spec_envs.integrations.mcp_proxy.config import ProxyConfig
from spec_envs.integrations.mcp_proxy.files import JsonLines
from spec_envs.integrations.mcp_proxy.lines import Message, note
from spec_envs.integrations.mcp_proxy.memory import Lesson, Memory
from spec_envs.integrations.mcp_proxy.names import Names
from spec_envs.integrations.mcp_proxy.server import OWN_ID, RpcError, Server
from spec_envs.wrappers.speculation.trace import TraceEvent
from spec_envs.wrappers.tools import SpeculativeTools, ToolLimits, ToolRun
from spec_envs.wrappers.tools._mcp_results import ServerTools
from spec_envs.wrappers.tools.open_calls import OpenCall
from spec_envs.wrappers.tools.ports import qualified
from spec_envs.wrappers.tools.rules import ToolRules

#: A conversation that is longer, or that has paused for longer, is continued as a new one.
_MAX_EVENTS, _MAX_PAUSE_S = 200, 900.0
#: The machine has slept where the time of day has gone on for this much longer than the clock of the process.
_SLEPT_S = 2.0
#: Fields of a call that its result does not depend on, and the name and the arguments.
_KNOWN_PARAMS = {"name", "arguments", "_meta"}
#: For how long a server may be at work on a call that was given up, and how many of these calls are remembered.
_AT_WORK_S, _MOST_LEFT = 10.0, 15
#: Notifications after which earlier results may be out of date.
_CHANGES = {
    "notifications/tools/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
}
#: Limits by which nothing is called ahead of time.
_NOTHING = ToolLimits(max_inflight=0)
#: How an ``Answer`` is read.
_CONTENT, _IS_USABLE = attrgetter("content"), attrgetter("is_usable")


class ClientCall:
    """One ``tools/call`` of the client. It ends once: by ``answered``, ``got`` or ``abandon``.

    Whoever makes the call calls ``sent`` once the server has the call, or else ``wait``, ``take`` and ``got``.

    Args:
        opened: The call, among those made ahead of time.
        memory: Learns the call, and counts the seconds.
        lesson: What ``memory`` learns of the call.
        weigh: Called with the server's answer.
    """

    def __init__(self, opened: OpenCall, memory: Memory, lesson: Lesson, weigh: Callable[[Answer], object]) -> None:
        self._opened = opened
        self._weigh = weigh
        self._memory = memory
        self._lesson = lesson
        self._begun_at = time.monotonic()
        self._is_told = False

    @property
    def is_own(self) -> bool:
        """Whether the server must make the call."""
        return self._opened.is_own

    @property
    def is_ready(self) -> bool:
        """Whether the result of an equal call is there."""
        return self._opened.is_ready

    def sent(self) -> None:
        """The server has the call."""
        self._tell()
        self._opened.began()

    async def wait(self) -> None:
        """Wait for an equal call that is under way, until the result ``is_ready``, or else the call ``is_own``."""
        self._tell()
        await self._opened.wait()

    def take(self) -> Answer:
        """The answer that ``is_ready``."""
        self._tell()
        answer: Answer = self._opened.take()
        return answer

    def got(self, answer: Answer) -> None:
        """The client has got the ``answer`` that was there."""
        self._opened.got(answer)
        self._count(ahead=True)

    def answered(self, message: Message, line: bytes | None) -> None:
        """The client has got the server's answer."""
        try:
            answer = Answer.of(message, line)
        except RpcError as error:
            self._opened.fail(error)
            return
        self._weigh(answer)
        self._opened.returned(answer)
        self._opened.got(answer)
        self._count(ahead=False)

    def abandon(self) -> None:
        """The client does not wait any more."""
        self._opened.abandon(asyncio.CancelledError())

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._opened.tell()
            self._memory.teach(self._lesson)

    def _count(self, *, ahead: bool) -> None:
        self._memory.count_call(self._lesson.tool, time.monotonic() - self._begun_at, ahead=ahead)


class Ahead:
    """Makes calls ahead of time for one client; the client gets what it would get without that.

    Args:
        config: The rules of the tools, and limits.
        memory: Guesses calls, and learns.
        trace: The file for the trace; ``None``: there is no trace.
    """

    def __init__(self, config: ProxyConfig, memory: Memory, trace: JsonLines | None = None) -> None:
        self._config = config
        self._memory = memory
        self._trace = trace
        self._rules = ToolRules(config.rules)
        self._names = Names(config.rules, [each.name for each in config.servers])
        self._lists: list[tuple[Server, list[Any], bool, bool]] = []  # the pages of the servers' lists of tools
        self._meta: dict[str, dict[str, Any]] = {}  # of the last call to each server
        self._barred: set[str] = set()
        self._with_progress: set[str] = set()
        self._running: dict[str, str] = {}  # calls ahead of time under way: the tool, by the id
        self._left: dict[str, tuple[str, float]] = {}  # calls that were given up: the tool and when, by the id
        self._spoiled: set[str] = set()
        self._last_call, self._last_time = time.monotonic(), time.time()
        self._is_old = False
        self._is_off = False
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end(self._tools, self._run)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _begin(self) -> None:
        limits, estimates = self._config.limits, self._memory.estimates
        self._tools = SpeculativeTools(self._config.rules, self._memory.guesser, limits=limits, estimates=estimates)
        if self._trace is not None:
            self._tools.trace.listen(functools.partial(_write_event, self._trace, uuid.uuid4().hex[:8]))
        self._served: dict[str, ServerTools] = {}
        self._added: dict[str, bool] = {}
        self._run = self._tools.open_run()
        self._is_old = False
        self._weight = 0  # bytes of the answers of this conversation
        for page in self._lists:
            self._read_page(*page)

    async def _end(self, tools: SpeculativeTools, run: ToolRun) -> None:
        tools.close_run(run)
        await tools.close()
        self._memory.add_statistics(tools.statistics)

    def _renew(self) -> None:
        """Begin a new conversation: what was learned stays, and earlier results are not used any more."""
        task = asyncio.create_task(self._end(self._tools, self._run))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        self._begin()

    # -- what is seen ------------------------------------------------------------------------------------------------

    def see_result(self, server: Server, message: Message, result: Any) -> None:
        """A server has answered a request of the client."""
        if message["method"] != "tools/list":
            return
        params, result = message.get("params"), result if isinstance(result, dict) else {}
        is_first = not (isinstance(params, dict) and params.get("cursor"))
        if is_first:
            self._lists = [page for page in self._lists if page[0] is not server]
        listed = result.get("tools")
        tools = [each for each in listed if _has_name(each)] if isinstance(listed, list) else []
        page = (server, tools, is_first, result.get("nextCursor") is None)
        self._lists.append(page)
        self._read_page(*page)
        self._names.see(server.config.name, self._served_by(server).listed)
        self._memory.tell_problems(self._names.problems)

    def _read_page(self, server: Server, listed: list[Any], is_first: bool, is_last: bool) -> None:
        self._served_by(server).read_list(listed, is_first=is_first, is_last=is_last)
        for tool in listed:
            self._add(server, tool["name"])

    def see_notification(self, message: Message) -> None:
        """A server has sent a notification."""
        if message["method"] in _CHANGES:
            self.forget()

    def forget(self) -> None:
        """Earlier results may be out of date: the next call begins a new conversation."""
        self._is_old = True

    def stop(self) -> None:
        """Make nothing ahead of time any more: the client has made calls that the proxy cannot see."""
        if not self._is_off:
            note("the client has sent a line that is not one message; nothing is called ahead of time any more")
            self._is_off = True
            self._config = dataclasses.replace(self._config, limits=_NOTHING)
            self._renew()

    def asks_in_vain(self, server: Server, message: Message) -> bool:
        """Whether a request of a server may come from a call ahead of time: the client must not see it.

        Such a call is not used, and its tool is not called ahead of time again. Which roots there are, a server may
        ask at any time: to answer costs nothing, and nobody notices.
        """
        own = [number for number in self._running if number.startswith(f"{OWN_ID}{server.config.name}/")]
        if not own or server.is_asked or message["method"] in ("ping", "roots/list"):
            return False
        self._spoiled.update(own)
        self._barred.update(self._running[number] for number in own)
        return True

    def has_harmed(self, server: Server, message: Message) -> bool:
        """Whether the ``tools/call`` that the client has made got no answer because of calls ahead of time.

        The server has ended while it had such calls, which may be why; their tools are not called ahead again. Whatever
        changes nothing may then be called anew.
        """
        now, begin = time.monotonic(), f"{OWN_ID}{server.config.name}/"
        own = {tool for number, tool in self._running.items() if number.startswith(begin)}
        own |= {
            tool
            for number, (tool, left_at) in self._left.items()
            if number.startswith(begin) and now < left_at + _AT_WORK_S
        }
        if not server.is_gone or not own:
            return False
        self._barred.update(own)
        self._left.clear()
        note(f"a call ahead of time may have ended the server; not called ahead any more: {', '.join(sorted(own))}")
        tool = qualified(server.config.name, str(message["params"].get("name")))
        return self._tools.rule_of(tool).effect is not Effect.WRITE

    def is_own_progress(self, message: Message) -> bool:
        """Whether a notification tells the progress of a call ahead of time."""
        params = message.get("params")
        token = str(params.get("progressToken")) if isinstance(params, dict) else ""
        if not token.startswith(OWN_ID):
            return False
        if token in self._running:
            self._with_progress.add(self._running[token])
        return True

    # -- calls -------------------------------------------------------------------------------------------------------

    def open(self, server: Server, message: Message) -> ClientCall | None:
        """The client makes a ``tools/call``; ``None`` if the call names no tool: only the server answers it."""
        params = message.get("params")
        if self._is_off or not isinstance(params, dict) or not isinstance(params.get("name"), str):
            return None
        if self._has_paused() or self._is_old or self._run.num_events > _MAX_EVENTS:
            self._renew()
        arguments = params.get("arguments")
        arguments = {} if arguments is None else arguments
        tool = self._add(server, params["name"])
        self._served_by(server).check(params["name"])
        self._tools.doubt(tool, touches_all=self._names.is_doubtful(server.config.name, params["name"]))
        meta = params.get("_meta") or {}
        self._meta[server.config.name] = meta
        is_told = "progressToken" in meta and tool in self._with_progress
        is_fresh = is_told or bool(params.keys() - _KNOWN_PARAMS)
        opened = self._tools.open(self._run, tool, arguments, fresh=is_fresh)
        lesson = Lesson(self._run.conversation, tool, arguments, self._is_private)
        return ClientCall(opened, self._memory, lesson, self._weigh)

    def _has_paused(self) -> bool:
        """Whether the client, or the machine, has paused so long since the last call that results may be old."""
        now, time_of_day = time.monotonic(), time.time()
        paused, passed = now - self._last_call, time_of_day - self._last_time
        self._last_call, self._last_time = now, time_of_day
        return paused > _MAX_PAUSE_S or passed - paused > _SLEPT_S  # the clock of the process stands while it sleeps

    def _weigh(self, answer: Answer) -> None:
        """Begin a new conversation soon, where the answers of this one take much memory."""
        self._weight += len(answer.line)
        if self._weight > MAX_KEPT:
            self.forget()

    def _is_private(self, tool: str) -> bool:
        return self._rules[tool].private

    def _served_by(self, server: Server) -> ServerTools:
        name, trusts = server.config.name, self._config.trust_annotations
        if name not in self._served:
            self._served[name] = ServerTools(
                self._tools, name, server, trust_annotations=trusts, content=_CONTENT, usable=_IS_USABLE
            )
        return self._served[name]

    def _add(self, server: Server, name: str) -> str:
        tool = qualified(server.config.name, name)
        may_be_ahead = tool not in self._barred
        if self._added.get(tool) is may_be_ahead:
            return tool
        self._added[tool] = may_be_ahead

        async def ahead(arguments: dict[str, Any], context: Any) -> Any:
            return await self._call_ahead(server, tool, name, arguments)

        return self._served_by(server).add(name, ahead, ahead=may_be_ahead)

    async def _call_ahead(self, server: Server, tool: str, name: str, arguments: Mapping[str, Any]) -> Any:
        if tool in self._barred:  # since it was predicted
            raise RpcError({"message": f"{tool} is not called ahead of time any more"})
        number = server.new_id()
        params: dict[str, Any] = {"name": name, "arguments": dict(arguments)}
        if meta := self._meta.get(server.config.name):
            params["_meta"] = {**meta, "progressToken": number} if "progressToken" in meta else meta
        self._running[number] = tool
        request = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        ends = server.num_ends
        try:
            answer = Answer.of(*await server.answer(request))
            self._weigh(answer)
            if number in self._spoiled:
                raise RpcError({"message": f"{tool} asks the client, and is not called ahead of time any more"})
            return answer
        except asyncio.CancelledError:
            self._left = {**dict(list(self._left.items())[-_MOST_LEFT:]), number: (tool, time.monotonic())}
            cancelled = {"requestId": number, "reason": "not needed any more"}
            notification = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled}
            server.send(notification)
            raise
        finally:
            if server.num_ends > ends:  # maybe because of this call
                self._barred.add(tool)
            del self._running[number]
            self._spoiled.discard(number)


def _has_name(tool: Any) -> bool:
    """Whether what a server has listed can be called."""
    return isinstance(tool, dict) and isinstance(tool.get("name"), str)


def _write_event(file: JsonLines, session: str, event: TraceEvent) -> None:
    """Write an event; runs of other sessions, which may write to the same file, have other names."""
    file.append(dataclasses.replace(event, run=f"{session}-{event.run}").as_dict())
