"""A recorded episode with everything in it: a page, none, what a name may mean, lookups, and a malformed action."""

from __future__ import annotations

from typing import Any

PAGE = "Ada Fenwick was a novelist. She was born in 1921. She wrote much. She lived in Tallow. She died in 1990.."


def step(action: str, observation: str, **more: Any) -> dict[str, Any]:
    return {
        "thought": f"Let me do the action {action}",
        "action": action,
        "observation": observation,
        "env_seconds": 0.0,
        "guessed_actions": [],
        "guessed_observation": "",
        "guess_seconds": 0.0,
        **more,
    }


def record(**changes: Any) -> dict[str, Any]:
    steps = [
        step(
            "Search[Fenwick]",
            "Could not find Fenwick. Similar: ['Ada Fenwick', \"Fenwick's Law\"].",
            env_seconds=0.5,
            guessed_actions=["Search[Ada]", "search[fenwick]"],
            guessed_observation="Fenwick is a name.",
            guess_seconds=2.0,
        ),
        step(
            "Search[Ada Fenwick]",
            PAGE,
            env_seconds=0.25,
            guessed_actions=["Search[Ada Fenwick]", "Finish[1921]"],
            guess_seconds=1.0,
        ),
        step("Lookup[prize]", "(Result 1 / 2) She won a prize in 1950.", guessed_actions=["Lookup[prize]"]),
        step("Open the window", "Invalid action: Open the window"),
        step("Search[Tallow]", "Could not find [Tallow]. Similar: ['Tallow (town)', 'Tallow'].", env_seconds=0.75),
        step("Finish[1921]", "Episode finished, reward = 1\n", guessed_actions=["Finish[1921]"]),
    ]
    made = {
        "id": "one",
        "question": "When was Ada Fenwick born?",
        "answer": "1921",
        "agent": "actor",
        "guesser": "guesser",
        "k": 3,
        "steps": steps,
    }
    return {**made, **changes}
