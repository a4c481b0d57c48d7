"""``SaidCalls``: makes the reads of tool calls that a chat model has said, while the model goes on writing."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from spec_envs.agents.llm.messages import Completion, ToolRequest
from spec_envs.guesses import Guess, Situation
from spec_envs.handling import CancelToken
from spec_envs.values import key_of, same

#: Observations whose answers are remembered. A prefetcher hears an answer while the model writes it.
_MEMORY = 16
#: How long the policy's call may take to begin after the prefetcher has begun, in seconds.
_BEGINS_S = 5.0


class SaidCalls:
    """A prefetcher of the policy's calls, made by ``ChatPolicy.prefetcher``.

    While the answer of a chat model arrives, it names each complete tool call as an action. What the policy decides may
    still be something else, if the answer turns out to be of no use; then some reads were made in vain.

    Args:
        read: Makes an action of an answer, as ``PolicyPrompt.read`` does.
    """

    def __init__(self, read: Callable[[Completion, Any], Any]) -> None:
        self._read = read
        self._answers: collections.OrderedDict[Hashable, _Answer] = collections.OrderedDict()
        self._changed = threading.Condition()

    def __reduce__(self) -> tuple[Any, ...]:
        return SaidCalls, (self._read,)  # what is heard in this process is of no use in another one

    @contextlib.contextmanager
    def heard(self, query: Any, cancel: CancelToken) -> Iterator[None]:
        """Hear what the model says to the policy's call with ``query`` and the token ``cancel``."""
        key = key_of(query)
        with self._changed:
            answer = self._answer_to(key)
            answer.has_begun = True

        def listener(part: Any) -> None:
            if isinstance(part, ToolRequest):
                with self._changed, contextlib.suppress(ValueError):  # the policy will say what is wrong with it
                    answer.actions.append(self._read(Completion(tool_calls=(part,)), query))
                    self._changed.notify_all()

        cancel.tell = listener
        try:
            yield
        finally:
            with self._changed:
                answer.has_ended = True
                if self._answers.get(key) is answer:
                    del self._answers[key]  # an answer to the same observation later is another one
                self._changed.notify_all()

    def prefetch(
        self, situation: Situation, k: int, cancel: CancelToken, early: Callable[[Sequence[Guess]], None]
    ) -> list[Guess]:
        """Name the calls of the answer to ``situation``, each as soon as it is complete; at most ``k``."""
        if k < 1 or not same(situation.now, situation.before):
            return []  # the branch goes on from a read, and all calls were named before that
        with self._changed:
            answer = self._answer_to(key_of(situation.call.query))
            cancel.on_cancel(self._wake)
            self._changed.wait_for(lambda: answer.has_begun or cancel.cancelled, _BEGINS_S)
        named: list[Guess] = []
        while answer.has_begun and len(named) < k:
            new = self._new_actions(answer, len(named), cancel)[: k - len(named)]
            if not new:
                break
            named += [Guess(action, 1.0) for action in new]
            early(named)
        return named

    def _new_actions(self, answer: _Answer, num_known: int, cancel: CancelToken) -> list[Any]:
        """Wait for actions beyond the first ``num_known``; none where the answer has ended."""
        with self._changed:
            self._changed.wait_for(lambda: len(answer.actions) > num_known or answer.has_ended or cancel.cancelled)
            return answer.actions[num_known:]

    def _answer_to(self, key: Hashable) -> _Answer:
        answer = self._answers.setdefault(key, _Answer())
        if len(self._answers) > _MEMORY:
            self._answers.popitem(last=False)
        return answer

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Answer:
    """What the model has said in one answer, as actions."""

    def __init__(self) -> None:
        self.actions: list[Any] = []
        self.has_begun = self.has_ended = False
