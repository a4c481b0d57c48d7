"""``spec-envs bench crowd``: how many episodes does one process hold at once, each with a tree of its own?"""

import dataclasses

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import DialSettings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrowdSettings(DialSettings):
    """Run many episodes at once on one event loop, without and with speculation (about two minutes)."""

    episodes: int = setting(1000, "Episodes at once.", ge=1)
    steps: int = setting(3, "Steps of an episode; a step is a decision and a call of the environment.", ge=1)
    seconds: float = setting(
        8.0, "Mean time of a call, in seconds; single calls take from half of it to 1.5 times it.", gt=0
    )
    max_inflight: int = options.max_inflight(4)
    selectivity: float = options.selectivity(0.0)
