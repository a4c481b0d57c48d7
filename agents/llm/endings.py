"""Where an answer is complete as far as the request needs it, so that the rest need not be read."""

import math
import re
import threading

from spec_envs.agents.llm.messages import ChatRequest
from spec_envs.agents.llm.reasoning import lacks_opening_mark, settled_answer
from spec_envs.agents.llm.streamed_answer import Answer


class Endings:
    """Tells whether answers of a model may be left before their end. Thread-safe.

    The first answer is heard out. It tells how the model's tokens are counted, and whether reasoning looks like an
    answer until its end, because the mark that opens it is missing. Answers of such a model are always heard out.
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
        """Learn from an answer that was heard to its end."""
        with self._lock:
            self._may_leave = self._may_leave or answer.is_complete
            self._hides_reasoning = self._hides_reasoning or lacks_opening_mark(answer.text)


class Listener:
    """Listens to one answer.

    A model that has said all usually ends with the next piece. Then the server reports the usage, and the connection
    can be used again. So the answer is left only when more is written than white space, or nothing for a while.
    """

    def __init__(self, request: ChatRequest, may_leave: bool) -> None:
        self._request = request
        self._waits = may_leave and (request.until is not None or request.one_call)
        self._pieces = self._next = 0
        self._said: str | None = None

    @property
    def has_heard_all(self) -> bool:
        """Whether the answer has said all that the request wants."""
        return self._said is not None

    def goes_on(self, answer: Answer) -> bool:
        """Look at the answer after a new piece; return whether it has gone on after it had said all."""
        if not self._waits or answer.pieces == self._pieces:
            return False
        self._pieces = answer.pieces
        if self._said is not None:
            more = answer.text[len(self._said) :]
            return not more or bool(more.strip())  # more text, or more than text
        if answer.has_call or len(answer.text) >= self._next:
            # In a long text, of reasoning perhaps, not every piece is worth a look at all of the text.
            self._next = math.floor(len(answer.text) * 1.01) + 1
            if says_all(self._request, answer.text, has_call=answer.has_call):
                self._said = answer.text
        return False


def says_all(request: ChatRequest, text: str, *, has_call: bool) -> bool:
    """Return whether an answer with ``text`` says all that matters, however it goes on.

    Args:
        request: The request.
        text: The text so far, with reasoning.
        has_call: Whether the first tool call is complete.
    """
    if request.one_call and has_call:
        return True
    return request.until is not None and re.search(request.until, settled_answer(text)) is not None
