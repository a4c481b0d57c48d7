"""Joins the pieces of streamed tool calls.

In OpenAI's protocol a piece has the ``index`` of its call, the first piece has an ``id`` and the name, and the pieces
of the arguments are appended. Other servers give every call the same index or none, repeat names, send calls whole, or
have each piece repeat all that was sent before.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spec_envs.agents.llm.messages import ToolRequest
from spec_envs.json_files import parsed


@dataclasses.dataclass(slots=True)
class _Call:
    index: int | str | None
    id: str
    name: str = ""
    arguments: str = ""  # all pieces, joined
    pieces: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether all arguments have arrived."""
        return is_whole(self.arguments)

    @property
    def repeats(self) -> bool:
        """Whether each piece repeats the pieces before it, the last is whole JSON, and all joined are not.

        The next piece may still show that the pieces are parts, as in ``{"x":``, ``{"x":1}``, ``}``.
        """
        grows = all(after.startswith(before) for before, after in itertools.pairwise(self.pieces))
        return len(self.pieces) > 1 and grows and is_whole(self.pieces[-1]) and not self.is_complete

    def is_other(self, name: str, arguments: str) -> bool:
        """Whether a piece with the whole of another call follows this call, which is complete."""
        mine, its = parsed(self.request.arguments), parsed(arguments)
        return is_whole(self.request.arguments) and is_whole(arguments) and (name != self.name or its != mine)

    @property
    def request(self) -> ToolRequest:
        """The call, if no more pieces follow."""
        return ToolRequest(self.name, self.pieces[-1] if self.repeats else self.arguments)


def is_whole(arguments: str) -> bool:
    """Return whether the arguments are a whole JSON object. ``{}`` may be a placeholder for arguments to come."""
    text = arguments.strip()
    return text != "{}" and text.endswith("}") and isinstance(parsed(text), dict)


class StreamedCalls:
    """The tool calls of one answer, as far as their pieces have arrived."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        functions = [tool.get("function") for tool in tools]
        # The names of the offered tools: they distinguish a whole name from a piece of a name.
        self._known = {each.get("name") for each in functions if isinstance(each, Mapping)}
        self._calls: list[_Call] = []
        self._num_told = 0

    def add(self, piece: Any) -> tuple[str, str]:
        """Add the next piece, and return the name and the arguments in it.

        Raises:
            ValueError: ``piece`` is not an object.
        """
        if not isinstance(piece, Mapping):
            raise ValueError(f"a piece of a tool call must be an object, not {piece!r:.200}")
        function = piece.get("function")
        function = function if isinstance(function, Mapping) else piece  # some servers leave this level out
        index, call_id = piece.get("index"), piece.get("id")
        name, arguments = _text(function.get("name")), _text(function.get("arguments") or function.get("parameters"))
        index = (
            int(index)
            if isinstance(index, float) and index.is_integer()
            else index
            if isinstance(index, int | str)
            else None
        )
        call = self._call_of(index, "" if call_id is None else str(call_id), name, arguments)
        if call.name and call.is_complete:  # further pieces, such as the whole call again, change nothing
            return name, arguments
        if name:
            call.name = self._joined(call.name, name)
        if arguments and call.arguments.strip() == "{}":
            call.arguments = ""
            call.pieces.clear()
        if arguments:
            call.arguments += arguments
            call.pieces.append(arguments)
        return name, arguments

    @property
    def has_first(self) -> bool:
        """Whether the call that ``requests`` returns first is complete, whatever pieces follow."""
        return self._is_final(0)

    def untold(self) -> Iterator[ToolRequest]:
        """Yield the calls that have become complete since this was last called, in the order of ``requests``."""
        while self._is_final(self._num_told):
            call = self._calls[self._num_told]
            self._num_told += 1
            yield call.request

    def _is_final(self, place: int) -> bool:
        """Whether the call at ``place`` is complete, and has that place whatever pieces follow."""
        if place >= len(self._calls):
            return False
        call = self._calls[place]
        return call.name in self._known and call.index in (None, place) and call.is_complete

    def requests(self) -> tuple[ToolRequest, ...]:
        """Return the calls by their index, or in the order of their first pieces if the indexes do not tell."""
        calls = [call for call in self._calls if call.name or call.arguments]
        indexes = [call.index for call in calls]
        if all(isinstance(index, int) for index in indexes) and len(set(indexes)) == len(indexes):
            calls.sort(key=lambda call: int(call.index or 0))
        return tuple(call.request for call in calls)

    def _call_of(self, index: int | str | None, call_id: str, name: str, arguments: str) -> _Call:
        """Return the call to which a piece belongs: a new call if the piece begins one."""
        call = self._with_id(index, call_id, name, arguments) if call_id else self._without_id(index, name)
        if call is None or (not call_id and self._begins(call, name, arguments)):
            call = _Call(index, call_id)
            self._calls.append(call)
        if call.index is None and not call.is_complete:
            call.index = index
        call.id = call.id or call_id
        return call

    def _with_id(self, index: int | str | None, call_id: str, name: str, arguments: str) -> _Call | None:
        for call in reversed(self._calls):
            if call.id == call_id and (index is None or call.index in (None, index)):
                return None if name and call.is_other(name, arguments) else call
        here = self._last(lambda call: call.index == index)
        if here is None or (here.name and here.is_complete):
            return None
        # The id may come after the first piece; and some servers give every piece a new id, but only one a name.
        late = not here.id and not self._begins(here, name, arguments)
        return here if late or (index is not None and arguments and not name) else None

    def _without_id(self, index: int | str | None, name: str) -> _Call | None:
        if index is None:
            return self._last(lambda call: call.index is None and not call.is_complete) or self._last()
        here = self._last(lambda call: call.index == index)
        return here if here is not None or name else self._last(lambda call: call.index is None)

    def _last(self, condition: Any = lambda call: True) -> _Call | None:
        return next((call for call in reversed(self._calls) if condition(call)), None)

    def _begins(self, call: _Call, name: str, arguments: str) -> bool:
        """Whether a piece without an id begins a new call, although its index is that of ``call``."""
        if not name or not call.name:
            return False
        if name == call.name:
            again = call.repeats and arguments.lstrip().startswith("{") and not arguments.startswith(call.pieces[-1])
            return again or (call.is_complete and bool(arguments.strip()))
        if call.name in self._known or name in self._known:
            return call.name in self._known and name in self._known
        return bool(call.arguments)

    def _joined(self, before: str, name: str) -> str:
        """Return the name so far: servers send a name in pieces, repeat it, or send a longer part of it each time."""
        if before not in self._known and before + name in self._known:
            return before + name
        return name if name.startswith(before) or name in self._known else before + name


def _text(value: Any) -> str:
    """Return a name or arguments as text; some servers send arguments as an object."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
