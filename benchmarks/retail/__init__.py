"""``spec-envs bench retail``: how much less do customers wait when agent, customer and tools are predicted?"""

import dataclasses
from pathlib import Path
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import ScaledSettings, setting
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import Limits

Tasks = Literal["embedded", "tau-bench", "tau3"]
Guesses = Literal["pattern", "llm", "user-model", "union"]

#: An episode has data of its own, so a read stays good for as long as the data that it has read are the same.
_READS_S = 24 * 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetailSettings(ScaledSettings):
    """Serve customers with speculation, and measure how much less they wait and how many calls were predicted."""

    tasks: Tasks = setting(
        "embedded",
        "embedded: the embedded shop, with a scripted agent and customer. tau-bench, tau3: the tasks of tau-bench or "
        "of τ³-bench; the agent takes their gold actions, and the customer says the whole instruction at once.",
    )
    data: Path | None = setting(None, "The folder with the data of tau-bench or τ³-bench.", type=options.FOLDER)
    task_file: Path | None = setting(
        None,
        "File with the tasks of tau-bench or τ³-bench.",
        type=options.FILE,
        default_text="tasks.json or the only tasks*.json in --data",
    )
    split: str = setting("test", "Split whose tasks are run; all: every task.")
    num_tasks: int | None = setting(None, "How many tasks are run, from the first one on.", ge=1, default_text="all")
    # tau-bench's train tasks hold no look-ups, so there is nothing to learn from them.
    folds: int | None = setting(
        None,
        "Divide the tasks of the split into this many parts by customer; for each part, learn from the other parts.",
        ge=2,
        default_text="learn from the split train; for tau-bench and τ³-bench 5",
    )
    learn: int | None = setting(None, "Learn from at most this many tasks.", ge=1, default_text="all")
    guesses: Guesses = setting(
        "union",
        "Who guesses. pattern: PatternGuesser guesses the agent's calls, and prefetches reads. user-model: "
        "ReplyGuesser guesses the customer's messages. union: both. llm: a chat model guesses calls and messages. "
        "On the virtual clock a guess takes 5 ms (pattern), 1 ms (user-model), or --guess-seconds (llm).",
    )
    model: str | None = setting(None, "With --guesses llm: name of the chat model.")
    base_url: str | None = setting(
        None,
        "With --guesses llm: address of the OpenAI-compatible server that has the model.",
        default_text="OPENAI_BASE_URL, or OpenAI's",
    )
    guess_seconds: float = setting(1.0, "With --guesses llm: how long a guess takes.", ge=0)
    actor_seconds: float = setting(5.0, "How long the agent thinks about an action.", ge=0)
    typing_wpm: float = setting(40.0, "How many words the customer types in a minute.", gt=0)
    tool_seconds: float = setting(0.5, "How long a tool takes.", ge=0)
    turn_calls: int = setting(
        5, "For the figure api_correct_rate: how many calls are predicted for one turn of the customer.", ge=1
    )
    seed: int = options.seed("Seed of episodes and guessers.")
    min_probability: float = setting(
        0.1,
        "Branches less probable than this are not followed. A smaller value costs many more tokens, and saves little "
        "more time.",
        ge=0,
        le=1,
    )

    def check(self) -> None:
        """Check that the options of benchmarks and of chat models are given where they are needed, and only there."""
        if self.tasks != "embedded" and self.data is None:
            raise InvalidConfiguration(f"--tasks {self.tasks} needs --data FOLDER, the folder with its data")
        if self.tasks == "embedded" and self.data is not None:
            raise InvalidConfiguration(
                "--data names the data of a benchmark, and the embedded tasks have data of their own: give --tasks "
                "tau-bench or --tasks tau3, or leave out --data"
            )
        if self.guesses == "llm" and self.model is None:
            raise InvalidConfiguration("--guesses llm needs --model NAME, the chat model that guesses")
        if self.guesses != "llm" and self.model is not None:
            raise InvalidConfiguration(
                f"--model names the chat model that guesses, and --guesses {self.guesses} has no chat model: give "
                "--guesses llm, or leave out --model"
            )
        if self.model is None and self.base_url is not None:
            raise InvalidConfiguration(
                f"--base-url is the address of the chat model's server, and --guesses {self.guesses} has no chat "
                "model: give --guesses llm and --model NAME, or leave out --base-url"
            )

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        return dataclasses.replace(super().limits, min_probability=self.min_probability, read_ttl_s=_READS_S)

    @property
    def source(self) -> str:
        """The data, as ``SpecRetail-v0`` takes them."""
        return "embedded" if self.data is None else str(self.data)
