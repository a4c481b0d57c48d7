"""What ``PatternGuesser`` costs in a long conversation with many tools. All times are of the processor."""

import random
import statistics
import time
from collections.abc import Iterator

from spec_envs.agents import PatternGuesser
from spec_envs.benchmarks.overhead import Measured
from spec_envs.calls import Call
from spec_envs.conversation import (
    AssistantMessage,
    Conversation,
    Event,
    Tool,
    ToolCall,
    ToolResult,
    Trajectory,
    UserMessage,
)

NUM_TOOLS, EVENTS = 100, 1000
#: How many conversations are learned before, and of how many events each.
LEARNED, LEARNED_EVENTS = 25, 20
#: How many events before the last are predicted and learned.
MEASURED = 60

_CALLS_IN_A_TURN = 20
_SCHEMA = {
    "type": "object",
    "properties": {"record_id": {"type": "string"}, "limit": {"type": "integer"}},
    "required": ["record_id"],
}


def figures() -> Iterator[Measured]:
    """The time to predict the next call, and to learn it together with the result before."""
    guesser = PatternGuesser()
    guesser.learn(Trajectory(conversation(seed, LEARNED_EVENTS), f"task {seed}") for seed in range(LEARNED))
    whole = conversation(LEARNED, EVENTS)
    predicting, learning = [], []
    for length in range(EVENTS - MEASURED, EVENTS):
        now, action = whole.until(length), whole.events[length]
        if not isinstance(action, ToolCall):
            continue
        start = time.process_time()
        guesser.predict(now, 3)
        predicting.append(time.process_time() - start)
        call = Call("policy", now)
        start = time.process_time()
        guesser.observe(call, action)
        learning.append(time.process_time() - start)
    name = f"{EVENTS:,} events, {NUM_TOOLS} tools"
    yield Measured(f"PatternGuesser.predict (median), {name}", "ms", statistics.median(predicting) * 1e3, 5)
    ms = statistics.median(learning) / 2 * 1e3  # a call, and the result before
    yield Measured(f"PatternGuesser.observe for an event (median), {name}", "ms", ms, 1)


def conversation(seed: int, length: int) -> Conversation:
    """A made-up conversation: records lead to records, by tools that mostly come in one order."""
    rng = random.Random(seed)
    tools = tuple(Tool(f"t{n}_get_record", f"Reads record {n}.", _SCHEMA) for n in range(NUM_TOOLS))
    record, tool, events = _new_id(rng), rng.randrange(NUM_TOOLS), list[Event]()
    events.append(UserMessage(f"Please look at record {record} for me."))
    while len(events) < length:
        for _ in range(_CALLS_IN_A_TURN):
            events.append(ToolCall(tools[tool].name, {"record_id": record, "limit": rng.choice((5, 10))}))
            found, record = record, _new_id(rng)
            items = [{"item_id": str(rng.randrange(10**6)), "price": rng.randrange(100)} for _ in range(3)]
            events.append(ToolResult({"id": found, "next_id": record, "items": items}))
            tool = (7 * tool + 3) % NUM_TOOLS if rng.random() < 0.8 else rng.randrange(NUM_TOOLS)
        record = _new_id(rng)
        events += [AssistantMessage("There it is. Anything else?"), UserMessage(f"Yes, record {record}, please.")]
    return Conversation(tuple(events[:length]), tools)


def _new_id(rng: random.Random) -> str:
    return f"R-{rng.randrange(10**6):06d}"
