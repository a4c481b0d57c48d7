"""Finds the server that a message is for.

With one server, messages go through as they are. With several, lists are joined, and tools and prompts are called
``SERVER__NAME``, so that no two have the same name.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from spec_envs.integrations.mcp_proxy.lines import Message, Receive, note
from spec_envs.integrations.mcp_proxy.server import RpcError, Server
from spec_envs.wrappers.tools.ports import qualified

#: Begins a task that ends with the session.
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
#: Called with each server's answer: the server, the request as the server got it, and the result.
See = Callable[[Server, Message, Any], None]

_INVALID_PARAMS = -32602
_INTERNAL_ERROR = -32603


class Routes(Protocol):
    """The ways between a client and the servers."""

    def ask(self, message: Message, line: bytes | None, answered: Receive) -> None:
        """Make a request of the client; ``answered`` is called once with the answer."""
        ...

    def call(self, message: Message, line: bytes | None) -> tuple[Server, Message, bytes | None]:
        """The server that has the tool of a ``tools/call``, and the request, with its line, as the server knows it.

        Raises:
            RpcError: No server has such a tool.
        """
        ...

    def give_up(self, number: Any) -> None:
        """The client does not wait any more for the answer to the request ``number``, which may be none of its own."""
        ...

    def others(self, message: Message, line: bytes | None) -> list[tuple[Server, Message, bytes | None]]:
        """The servers that a notification, or a response to a server's request, goes to."""
        ...

    def to_client(self, server: Server, message: Message, line: bytes | None) -> tuple[Message, bytes | None]:
        """A message of a server, with its line, as the client may have it."""
        ...


def route_of(servers: Sequence[Server], see: See, spawn: Spawn) -> Routes:
    """The routes for these servers; ``spawn`` begins tasks that end with the session."""
    return OneServer(servers[0], see) if len(servers) == 1 else SeveralServers(servers, see, spawn)


class OneServer:
    """All messages go to one server, and nothing is changed."""

    def __init__(self, server: Server, see: See) -> None:
        self._server = server
        self._see = see

    def ask(self, message: Message, line: bytes | None, answered: Receive) -> None:
        """Make a request of the client."""

        def seen(answer: Message, answer_line: bytes | None) -> None:
            answered(answer, answer_line)
            if "error" not in answer:
                self._see(self._server, message, answer.get("result"))

        self._server.ask(message, line, seen)

    def call(self, message: Message, line: bytes | None) -> tuple[Server, Message, bytes | None]:
        """The server, and the request as it is."""
        return self._server, message, line

    def give_up(self, number: Any) -> None:
        """Wait for an answer no more; one that comes all the same is passed on."""
        self._server.leave(number)

    def others(self, message: Message, line: bytes | None) -> list[tuple[Server, Message, bytes | None]]:
        """The server."""
        return [(self._server, message, line)]

    def to_client(self, server: Server, message: Message, line: bytes | None) -> tuple[Message, bytes | None]:
        """The message as it is."""
        return message, line


_JOINT = "__"


def tool_of(servers: Sequence[str], name: Any) -> str:
    """The name in rules of the tool that clients of these ``servers`` call ``name``."""
    if len(servers) == 1:
        return qualified(servers[0], str(name))
    server, joint, own = str(name).partition(_JOINT)
    return qualified(server, own) if joint and server in servers else str(name)


#: Lists that are joined: the method, the name of the list in its result, and whether its items are renamed.
_LISTS = {
    "tools/list": ("tools", True),
    "prompts/list": ("prompts", True),
    "resources/list": ("resources", False),
    "resources/templates/list": ("resourceTemplates", False),
}
_GREETINGS = ("initialize", "server/discover")
_BY_URI = ("resources/read", "resources/subscribe", "resources/unsubscribe")


class SeveralServers:
    """Joins the tools, prompts and resources of several servers."""

    def __init__(self, servers: Sequence[Server], see: See, spawn: Spawn) -> None:
        self._servers = {server.config.name: server for server in servers}
        self._see = see
        self._spawn = spawn
        self._sites: dict[str, Server] = {}  # of resources
        self._under_way: dict[Any, asyncio.Task[None]] = {}  # requests of the client, by their ids
        self._asked: dict[str, tuple[Server, Any]] = {}  # requests of servers, by the id that the client sees

    def ask(self, message: Message, line: bytes | None, answered: Receive) -> None:
        """Make a request of the client."""
        number = message["id"]
        task = self._under_way[number] = self._spawn(self._answer(message, answered))
        task.add_done_callback(lambda _: self._under_way.pop(number, None))

    async def _answer(self, message: Message, answered: Receive) -> None:
        try:
            outcome = {"result": await self._result(message)}
        except RpcError as error:
            outcome = {"error": error.error}
        except Exception as error:  # what a server has answered is not as it should be
            note(f"answers to {message['method']!r} cannot be joined: {error!r}")
            outcome = {"error": {"code": _INTERNAL_ERROR, "message": f"spec-envs mcp-proxy: {error!r}"}}
        answered({"jsonrpc": "2.0", "id": message["id"], **outcome}, None)

    async def _result(self, message: Message) -> Any:
        """The result of a request, of one server or of all."""
        method, params = message["method"], message.get("params") or {}
        if method in _LISTS:
            return await self._list(message, params)
        if method in _GREETINGS:
            return _joined_greeting(await self._greetings(message))
        if method in _BY_URI:
            return await self._of_first(message, self._sites.get(str(params.get("uri"))))
        if method == "prompts/get":
            server, name = self._split(params.get("name"))
            return await self._of(server, {**message, "params": {**params, "name": name}})
        if method == "completion/complete":
            return await self._complete(message, params)
        if method in ("logging/setLevel", "ping"):
            results = (await self._of_all(message)).values()
            return next((result for result in results if not isinstance(result, RpcError)), {})
        return await self._of_first(message, None)

    async def _of(self, server: Server, message: Message) -> Any:
        result = await server.request(message)
        self._see(server, message, result)
        return result

    async def _of_all(self, message: Message) -> dict[str, Any]:
        """What all servers answer, by their names: results, or ``RpcError``."""
        servers = list(self._servers.values())
        results = await asyncio.gather(*(each.request(message) for each in servers), return_exceptions=True)
        found: dict[str, Any] = {}
        for server, result in zip(servers, results, strict=True):
            if isinstance(result, BaseException):
                if not isinstance(result, RpcError):
                    raise result
            else:
                self._see(server, message, result)
            found[server.config.name] = result
        return found

    async def _greetings(self, message: Message) -> dict[str, Any]:
        """The greetings of the servers, by their names. A server that cannot make the handshake is left out.

        The protocol of 2026 is spoken with all servers, or with none.

        Raises:
            RpcError: No server greets; or a server does not know the protocol of 2026.
        """
        found = await self._of_all(message)
        if message["method"] == "initialize":
            found = {name: result if _greets(result) else _refusal(result) for name, result in found.items()}
            # A server that has greeted by the protocol of 2026, as another one has not, accepts no handshake any more.
            for name in [name for name, result in found.items() if isinstance(result, RpcError)]:
                found[name] = await self._greeted_anew(self._servers[name], message)
        refusals = {name: result for name, result in found.items() if isinstance(result, RpcError)}
        if refusals and (len(refusals) == len(found) or message["method"] != "initialize"):
            raise next(iter(refusals.values()))
        for name, refusal in refusals.items():
            note(f"{name!r} is left out, since it refuses the handshake: {refusal}")
        return {name: result for name, result in found.items() if name not in refusals}

    async def _greeted_anew(self, server: Server, message: Message) -> Any:
        """The greeting of a server that is started again for the purpose, or its refusal."""
        await server.end()
        try:
            result = await self._of(server, message)
            return result if _greets(result) else _refusal(result)
        except RpcError as refusal:
            return refusal

    async def _of_first(self, message: Message, server: Server | None) -> Any:
        """The result of ``server``, or else of the first one that does not refuse."""
        if server is not None:
            return await self._of(server, message)
        refusal: RpcError | None = None
        for each in self._servers.values():
            try:
                return await self._of(each, message)
            except RpcError as error:
                refusal = refusal or error
        assert refusal is not None
        raise refusal

    async def _list(self, message: Message, params: dict[str, Any]) -> Any:
        """One page of a list: a page of one server, with a cursor that leads to the next page."""
        name, is_renamed = _LISTS[message["method"]]
        place, cursor = _read_cursor(params.get("cursor"))
        servers = list(self._servers.values())
        items: list[Any] = []
        meta: dict[str, Any] = {}
        while place < len(servers):
            own = {key: value for key, value in params.items() if key != "cursor"}
            if cursor is not None:
                own["cursor"] = cursor
            try:
                page = await self._of(servers[place], {**message, "params": own} if own else message)
            except RpcError:
                page = {}  # this server has no such list
            page = page if isinstance(page, dict) else {}
            items += self._named(servers[place], page.get(name), is_renamed=is_renamed)
            meta = {key: value for key, value in page.items() if key not in (name, "nextCursor")} | meta
            if (cursor := page.get("nextCursor")) is not None:
                return {**meta, name: items, "nextCursor": _cursor(place, cursor)}
            place += 1
        return {**meta, name: items}

    def _named(self, server: Server, items: Any, *, is_renamed: bool) -> list[Any]:
        items = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        if is_renamed:
            return [{**item, "name": f"{server.config.name}{_JOINT}{item['name']}"} for item in items if "name" in item]
        for item in items:
            self._sites.setdefault(str(item.get("uri") or item.get("uriTemplate")), server)
        return list(items)

    async def _complete(self, message: Message, params: dict[str, Any]) -> Any:
        ref = params.get("ref") or {}
        if "name" in ref:
            server, name = self._split(ref["name"])
            return await self._of(server, {**message, "params": {**params, "ref": {**ref, "name": name}}})
        return await self._of_first(message, self._sites.get(str(ref.get("uri"))))

    def _split(self, name: Any) -> tuple[Server, str]:
        server, joint, own = str(name).partition(_JOINT)
        if not joint or server not in self._servers:
            known = ", ".join(f"{each}{_JOINT}" for each in self._servers)
            text = f"{name!r} is of no server; names begin with one of {known}"
            raise RpcError({"code": _INVALID_PARAMS, "message": text})
        return self._servers[server], own

    def call(self, message: Message, line: bytes | None) -> tuple[Server, Message, bytes | None]:
        """The server that has the tool, and the request with the tool's own name."""
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        server, name = self._split(params.get("name"))
        return server, {**message, "params": {**params, "name": name}}, None

    def give_up(self, number: Any) -> None:
        """Wait for an answer no more."""
        task = self._under_way.get(number)
        if task is not None:
            task.cancel()

    def others(self, message: Message, line: bytes | None) -> list[tuple[Server, Message, bytes | None]]:
        """A response goes to the server that has asked, and a notification to all servers."""
        if not message:  # a line that the proxy does not understand
            return []
        if "method" not in message:
            asked = self._asked.pop(str(message.get("id")), None)
            return [] if asked is None else [(asked[0], {**message, "id": asked[1]}, None)]
        return [(server, message, line) for server in self._servers.values()]

    def to_client(self, server: Server, message: Message, line: bytes | None) -> tuple[Message, bytes | None]:
        """The message; a request gets an id that no other server uses."""
        if "method" in message and "id" in message:
            number = _joint_id(server, message["id"])
            self._asked[number] = (server, message["id"])
            return {**message, "id": number}, None
        params = message.get("params")
        if message.get("method") == "notifications/cancelled" and isinstance(params, dict) and "requestId" in params:
            return {**message, "params": {**params, "requestId": _joint_id(server, params["requestId"])}}, None
        return message, line


def _joint_id(server: Server, number: Any) -> str:
    """The id that the client sees for a request of one of the servers."""
    return f"{server.config.name}/{json.dumps(number)}"


def _greets(result: Any) -> bool:
    """Whether ``result`` is an answer to "initialize" that can be joined with others."""
    return (
        isinstance(result, dict)
        and isinstance(result.get("protocolVersion"), str)
        and isinstance(result.get("serverInfo", {}), dict)
    )


def _refusal(result: Any) -> RpcError:
    if isinstance(result, RpcError):
        return result
    return RpcError({"code": _INTERNAL_ERROR, "message": f"its greeting makes no sense: {result!r:.200}"})


def _joined_greeting(results: dict[str, Any]) -> Any:
    """The greetings of all servers as one: all that any of them can do."""
    first = next(iter(results.values()))
    instructions = [f"{name}: {each['instructions']}" for name, each in results.items() if each.get("instructions")]
    capabilities = functools.reduce(_either, (result.get("capabilities") or {} for result in results.values()))
    merged = {**first, "capabilities": capabilities}
    if instructions:
        merged["instructions"] = "\n\n".join(instructions)
    if "protocolVersion" in first:
        merged["protocolVersion"] = min(each["protocolVersion"] for each in results.values())
    if "serverInfo" in first:
        merged["serverInfo"] = {**first["serverInfo"], "name": "+".join(results)}
    if "supportedVersions" in first:
        common = set.intersection(*(set(each["supportedVersions"]) for each in results.values()))
        merged["supportedVersions"] = [each for each in first["supportedVersions"] if each in common]
    return merged


def _either(one: Any, other: Any) -> Any:
    """What one or the other server can do."""
    if isinstance(one, dict) and isinstance(other, dict):
        joint = {name: _either(one[name], other[name]) for name in one.keys() & other.keys()}
        return {**one, **other, **joint}
    return one or other


def _cursor(place: int, cursor: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([place, cursor]).encode()).decode()


def _read_cursor(cursor: Any) -> tuple[int, str | None]:
    if cursor is None:
        return 0, None
    try:
        place, inner = json.loads(base64.urlsafe_b64decode(str(cursor)))
        return int(place), inner
    except (ValueError, TypeError) as error:
        raise RpcError({"code": _INVALID_PARAMS, "message": f"{cursor!r} is no cursor of this proxy"}) from error
