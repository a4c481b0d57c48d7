"""How much of a conversation can be predicted: the calls of the next turn, and the customer's messages."""

from collections.abc import Iterator, Sequence
from typing import Any

from spec_envs.agents import PatternGuesser, ReplyGuesser
from spec_envs.benchmarks.guess.run import RANKS
from spec_envs.calls import Call
from spec_envs.conversation import AssistantMessage, Conversation, ToolCall, Trajectory, UserMessage, from_chat
from spec_envs.retail.queries import GREETING, CustomerQuery
from spec_envs.retail.store.snapshot import StoreSnapshot
from spec_envs.retail.tools.table import TOOL_SETS, run_tool

#: How many calls the guesser predicts at once.
_WIDTH = 8


def foreseen(guesser: PatternGuesser, before: Conversation, store: StoreSnapshot, count: int) -> set[str]:
    """Keys of at most ``count`` predicted calls that follow the user's next message, which is not known yet.

    The most likely call is predicted first. If that call is a read, the call is made, and the next
    prediction builds on its real result. Writes are predicted and not made.
    """
    named: set[str] = set()
    while len(named) < count:
        predicted = guesser.predict(before, _WIDTH, seen=False)
        call = next((call for call, _ in predicted if call.key not in named), None)
        if call is None:
            break
        named.add(call.key)
        if call.name in TOOL_SETS[store.dialect].reads:
            output = run_tool(store, call.name, call.arguments).output
            result = from_chat([{"role": "tool", "content": output}]).events
            before = Conversation((*before.events, call, *result), before.tools)
    return named


def api_correct_rate(guesser: PatternGuesser, trajectory: Trajectory, store: StoreSnapshot, count: int) -> float | None:
    """The share of a conversation's tool calls that were predicted, with equal arguments, before the user's message.

    For each turn of the user at most ``count`` calls are predicted (``foreseen``). ``None`` without any call.
    """
    events, called, right = trajectory.conversation.events, 0, 0
    for begin, end in _turns(events):
        calls = [event for event in events[begin:end] if isinstance(event, ToolCall)]
        if not calls:
            continue
        named = foreseen(guesser, trajectory.conversation.until(begin), store, count)
        called += len(calls)
        right += sum(call.key in named for call in calls)
        for call in calls:
            store = store.patched(run_tool(store, call.name, call.arguments).patch)
    return right / called if called else None


def next_message(guesser: ReplyGuesser, trajectory: Trajectory, query: CustomerQuery) -> list[int | None]:
    """The rank of each of the user's messages among the guesses; ``None`` if the message is not among them."""
    ranks = []
    for said in dialogues(trajectory):
        asked = CustomerQuery(said[:-1], query.task, query.seed)
        guesses = [guess.response for guess in guesser.guess(Call("user", asked), max(RANKS))]
        ranks.append(guesses.index(said[-1]) if said[-1] in guesses else None)
    return ranks


def dialogues(trajectory: Trajectory) -> Iterator[tuple[str, ...]]:
    """The messages up to each of the user's messages, and including it."""
    said: tuple[str, ...] = (GREETING,)
    for event in trajectory.conversation.events:
        if isinstance(event, UserMessage | AssistantMessage):
            said = (*said, event.text)
            if isinstance(event, UserMessage):
                yield said


def _turns(events: Sequence[Any]) -> Iterator[tuple[int, int]]:
    begins = [place for place, event in enumerate(events) if isinstance(event, UserMessage)]
    return zip(begins, [*begins[1:], len(events)], strict=True)
