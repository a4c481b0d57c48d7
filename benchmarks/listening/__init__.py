"""``spec-envs bench listening``: what is saved by cutting an answer off when the rest cannot change the action?"""

import dataclasses

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import SpeculationSettings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListeningSettings(SpeculationSettings):
    """Measure the gain of leaving a model's answers early, as soon as they contain the complete action.

    An agent searches with a model over HTTP whose answers go on behind the action. Four runs at the same time (about a
    minute): with and without speculation, each with whole answers and with answers that are left early.
    """

    questions: int = setting(6, "How many questions about the embedded wiki are answered.", ge=1)
    tail: float = setting(0.1, "Share of an answer's time that passes behind the action.", ge=0, le=0.9)
    seconds: float = setting(2.0, "Median time of a whole answer, in seconds.", ge=0.01)
    tokens_per_s: float = setting(100.0, "How many tokens the model writes in a second; most are reasoning.", ge=1)
    page_seconds: float = setting(0.35, "Median time of a page, in seconds.", ge=0)
    spread: float = setting(0.3, "Sigma of the lognormal distributions of all times.", ge=0)
    seed: int = options.seed("Seed of the times.")
