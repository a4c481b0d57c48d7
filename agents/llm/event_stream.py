"""Brings streams of events, as servers and proxies send them, into the one form that the ``openai`` client reads.

The client wants each event as ``data: {…}``, a single JSON object, and an empty line behind it. Servers also send
events without an empty line behind them, events without data, ``[DONE]`` in other words, errors as bare text, lines of
JSON without ``data:``, and a whole answer in JSON.
"""

import json
import re

from spec_envs.json_files import parsed

_FIELD = re.compile(rb"\s*(data|event|id|retry)\s*:[ ]?", re.IGNORECASE)
_MARK = b"\xef\xbb\xbf"
_LINE_ENDS = re.compile(rb"\r\n|\n|\r(?!\Z)")
#: The longest line that is read, in bytes: far beyond any answer.
_LONGEST = 1 << 26
_END = re.compile(rb"\s*\[?done\]?\s*", re.IGNORECASE)


class Framing:
    """Reads the bytes of a stream, in pieces of any size, and returns the same events in the client's form."""

    def __init__(self) -> None:
        self._rest = b""  # of a line whose end has not arrived
        self._parts: list[bytes] = []  # what follows this rest, all without a line's end
        self._length = 0  # of these parts
        self._event = b""
        self._data: list[bytes] = []
        self._begins = True

    def feed(self, piece: bytes) -> bytes:
        """Read the next ``piece``, and return the events that end in it.

        Raises:
            ValueError: A line is too long to belong to an answer.
        """
        if not self._begins and b"\n" not in piece and b"\r" not in piece and not self._rest.endswith(b"\r"):
            self._parts.append(piece)
            self._length += len(piece)
            if self._length > _LONGEST:
                raise ValueError(f"a line of the answer has more than {_LONGEST:,} bytes")
            return b""
        text = self._whole_rest() + piece
        if self._begins:
            if len(text) < len(_MARK) and _MARK.startswith(text):
                self._rest = text
                return b""
            text = text.removeprefix(_MARK)
            self._begins = False
        *lines, self._rest = _LINE_ENDS.split(text)
        return b"".join(map(self._line, lines))

    def end(self) -> bytes:
        """Return the last event, if it is whole; the empty line behind it may be missing."""
        rest, self._rest = self._whole_rest().removeprefix(_MARK if self._begins else b""), b""
        told = b"".join(self._line(each) for each in rest.splitlines())
        data = b"\n".join(self._data)
        is_whole = self._event == b"error" or _END.fullmatch(data) or _is_json(data)
        return told + self._told() if is_whole else told

    def _whole_rest(self) -> bytes:
        whole = b"".join([self._rest, *self._parts])
        self._rest, self._length = b"", 0
        self._parts.clear()
        return whole

    def _line(self, line: bytes) -> bytes:
        field = _FIELD.match(line)
        if field is None:
            return self._line_without_field(line)
        name, value = field[1].lower(), line[field.end() :]
        if name == b"event":
            self._event = value.strip().lower()
        if name != b"data" or not value.strip():
            return b""
        told = self._told() if self._data and _is_json(b"\n".join(self._data)) else b""
        self._data.append(value)
        return told

    def _line_without_field(self, line: bytes) -> bytes:
        """Read an empty line, a comment, or a line of a JSON body without fields."""
        if not line.strip():
            return b"" if self._data and self._data[0] == b"" else self._told()
        if self._data and self._data[0] == b"":  # a JSON body
            self._data.append(line)
            return self._told() if line.startswith(b"}") else b""
        if not self._data and line.lstrip().startswith(b"{"):
            self._data = [b"", line]
            return self._told() if _is_json(line) else b""
        return b""

    def _told(self) -> bytes:
        """Return the event that was read, in the client's form, and begin a new one."""
        data, event = b"\n".join(self._data).strip(), self._event
        self._data, self._event = [], b""
        if not data:
            return b""
        if _END.fullmatch(data):
            data = b"[DONE]"
        elif event == b"error":
            text = data.decode(errors="replace")
            told = parsed(text)
            if not (isinstance(told, dict) and told.get("error")):
                data = json.dumps({"error": told or {"message": text}}).encode()
        return b"".join(b"data: " + line + b"\n" for line in data.split(b"\n")) + b"\n"


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
