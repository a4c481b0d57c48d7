"""JSON-RPC messages on lines: how they are written, found and read, and how an answer gets another id.

Whoever passes a message on unchanged passes on its line, so that no byte of the message differs and nothing is encoded
anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import sys
from collections.abc import Callable
from typing import Any

#: A message. The empty message stands for a line that holds no message that the proxy understands: a batch, or no JSON.
Message = dict[str, Any]
#: Called with a message, and with the line that it stood on, if it stood on a line.
Receive = Callable[[Message, bytes | None], None]

#: A line may hold a file or a picture.
_MAX_LINE = 256 * 1024 * 1024
#: The number of bytes of whole lines that may wait to be received, before nothing more is read.
_MAX_WAITING = 256 * 1024
#: The length of a note: a pipe takes so many bytes whole, if it has any room.
_MAX_NOTE = 2000


def encoded(message: Message) -> bytes:
    """The line of a message."""
    try:
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair can only be written as an escape
        return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decoded(line: bytes) -> Any:
    """The JSON data on a line. Bytes that are no UTF-8 are read as U+FFFD, as clients in JavaScript read them.

    Raises:
        ValueError: The line is not JSON.
        RecursionError: The data are nested too deeply.
    """
    try:
        return json.loads(line)
    except UnicodeDecodeError:
        return json.loads(line.decode("utf-8", "replace"))


def note(text: str) -> None:
    """Print ``text`` for the person who runs the proxy, on standard error: standard output belongs to the client.

    Nothing is printed where nobody reads standard error: the proxy must not wait for that.
    """
    with contextlib.suppress(OSError, ValueError):
        if _has_room(sys.stderr):
            print(f"spec-envs mcp-proxy: {text[:_MAX_NOTE]}", file=sys.stderr, flush=True)  # noqa: T201


def cause(error: BaseException) -> str:
    """The text of what was raised first, without the groups that task groups make of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or repr(error)


def _has_room(stream: Any) -> bool:
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError, TypeError):  # no stream of the operating system
        return True


def with_id(line: bytes, number: Any) -> bytes:
    """The line of an answer with the id ``number``, and no other byte changed.

    Raises:
        ValueError: There is no id on the line.
    """
    text = line.decode("latin-1")  # a character for each byte; what matters here is ASCII
    value_at = json.JSONDecoder(strict=False).raw_decode
    found, at = None, text.index("{") + 1
    while text[at := _without_space(text, at)] != "}":
        name, at = value_at(text, at)
        begin = _without_space(text, _without_space(text, at) + 1)  # after the colon
        _, end = value_at(text, begin)
        if name == "id":
            found = begin, end
        at = _without_space(text, end)
        at += text[at] == ","
    if found is None:
        raise ValueError(f"there is no id in {line[:80]!r}")
    begin, end = found
    return b"".join((line[:begin], json.dumps(number).encode(), line[end:]))


def _without_space(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


class Lines:
    """Finds the lines in bytes that come in pieces, and the message on each line.

    Of several messages that come at once, each is received in a turn of the event loop of its own: tasks that wait for
    one of them go on before the next one.

    Args:
        source: Who sends the lines.
        receive: Called with each message.
        set_reading: Called with whether more bytes are to be read, each time that this changes.
    """

    def __init__(self, source: str, receive: Receive, set_reading: Callable[[bool], None]) -> None:
        self._source = source
        self._receive = receive
        self._set_reading = set_reading
        self._loop = asyncio.get_running_loop()
        self._begun = bytearray()  # a line without its end
        self._waiting: list[bytes] = []  # whole lines, the next one last
        self._size = 0  # of the lines that wait
        self._is_held = False
        self._is_due = False  # whether the next message is about to be received
        self._is_reading = True
        self._is_over = False
        #: Done when no message follows; its exception is what ``receive`` has raised.
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def feed(self, data: bytes) -> None:
        """Bytes have come; no bytes: the end has come."""
        if not data:
            self._is_over = True
            data = b"\n"  # the last line may have no end
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = bytes(self._begun) + whole[0]
            self._size += sum(map(len, whole))
            self._waiting[:0] = reversed(whole)
            self._begun.clear()
        self._begun += rest
        if len(self._begun) > _MAX_LINE:
            self.end(ValueError(f"{self._source} sent a line of more than {_MAX_LINE} bytes"))
        elif not self._is_due:
            self._go_on()

    def hold(self, held: bool) -> None:
        """Receive no message until ``held`` is false again."""
        self._is_held = held
        if not held:
            self._come_again()
        self._read_or_not()

    def _go_on(self) -> None:
        """Receive the next message."""
        self._is_due = False
        if self._is_held or self.ended.done():
            return
        is_received = False
        while self._waiting and not is_received:
            line = self._waiting.pop()
            self._size -= len(line)
            if is_received := bool(line.strip()):
                self._get(line)
        if self._waiting:
            self._come_again()
        elif self._is_over:
            self.end()
        self._read_or_not()

    def _come_again(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._go_on)

    def _get(self, line: bytes) -> None:
        try:
            message = decoded(line)
        except (ValueError, RecursionError):
            note(f"{self._source} sent a line that is no message: {line[:200]!r}")
            message = {}
        try:
            self._receive(message if isinstance(message, dict) else {}, line + b"\n")
        except Exception as error:
            self._waiting.clear()
            self.end(error)

    def _read_or_not(self) -> None:
        reads = not self._is_held and self._size <= _MAX_WAITING
        if reads is not self._is_reading:
            self._is_reading = reads
            self._set_reading(reads)

    def end(self, error: Exception | None = None) -> None:
        """Receive nothing more. Idempotent."""
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
