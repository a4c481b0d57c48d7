"""Where an answer says all that matters, so that nobody need listen any longer."""

import re
import threading

from spec_envs.agents.llm.messages import ChatRequest, Completion
from spec_envs.agents.llm.reasoning import lacks_opening_mark, without_reasoning
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
    can be used again. So the answer is left only when more is written.

    Args:
        request: The request.
        may_leave: Whether the answer may be left.
    """

    def __init__(self, request: ChatRequest, may_leave: bool) -> None:
        self._request = request
        self._waits = may_leave and (request.until is not None or request.one_call)
        self._pieces = 0
        self._said_all = False

    def may_leave(self, answer: Answer) -> bool:
        """Return whether the answer has gone on after it has said all that the request wants."""
        if not self._waits or answer.pieces == self._pieces:
            return False
        self._pieces, before = answer.pieces, self._said_all
        self._said_all = before or self._says_all(answer)
        return before

    def _says_all(self, answer: Answer) -> bool:
        if self._request.one_call and answer.has_call:
            return True
        until = self._request.until
        return until is not None and bool(re.search(until, without_reasoning(Completion(text=answer.text)).text))
