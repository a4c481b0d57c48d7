"""Detects that a streamed answer holds all that the request needs, so that the rest need not be read."""

import math
import re
import threading

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.reasoning import lacks_opening_mark, settled_answer
from spec_envs.agents.llm.streamed_answer import Answer


class Endings:
    """Decides whether answers of a model may be left before their end. Thread-safe.

    The first answer is always read to its end. It shows how the model's tokens are counted, and whether the mark that
    opens reasoning is missing, so that reasoning looks like an answer until it ends. The answers of such a model are
    always read to their end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._may_leave = False
        self._hides_reasoning = False

    @property
    def may_leave(self) -> bool:
        """Whether answers may be left."""
        return self._may_leave and not self._hides_reasoning

    def heard_out(self, answer: Answer) -> None:
        """Learn from an answer that was read to its end."""
        with self._lock:
            self._may_leave = self._may_leave or answer.is_complete
            self._hides_reasoning = self._hides_reasoning or lacks_opening_mark(answer.text)


class Listener:
    """Watches one streamed answer.

    An answer that holds all that the request needs usually ends with the next piece. Then the server reports the usage,
    and the connection can be used again. So an answer is left only if more than white space follows, or if nothing
    follows for a while.
    """

    def __init__(self, request: ChatRequest, may_leave: bool) -> None:
        self._request = request
        self._waits = may_leave and (request.until is not None or request.one_call)
        self._pieces = self._next = 0
        self._said: str | None = None

    @property
    def has_heard_all(self) -> bool:
        """Whether the answer holds all that the request needs."""
        return self._said is not None

    def goes_on(self, answer: Answer) -> bool:
        """Look at the answer after a new piece; return whether it goes on although it holds all that is needed."""
        if not self._waits or answer.pieces == self._pieces:
            return False
        self._pieces = answer.pieces
        if self._said is not None:
            more = answer.text[len(self._said) :]
            return not more or bool(more.strip())  # more text, or more than text
        if answer.has_call or len(answer.text) >= self._next:
            # To search a long text, such as reasoning, after every piece would take too long.
            self._next = math.floor(len(answer.text) * 1.01) + 1
            if says_all(self._request, answer.text, has_call=answer.has_call):
                self._said = answer.text
        return False


def says_all(request: ChatRequest, text: str, *, has_call: bool) -> bool:
    """Return whether an answer with ``text`` holds all that the request needs, however the answer goes on.

    Args:
        request: The request.
        text: The text so far, with reasoning.
        has_call: Whether the first tool call is complete.
    """
    if request.one_call and has_call:
        return True
    return request.until is not None and re.search(request.until, settled_answer(text)) is not None
