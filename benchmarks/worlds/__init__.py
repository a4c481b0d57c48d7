"""``spec-envs bench worlds``: what do generated worlds cost?"""

import dataclasses

from spec_envs.benchmarks.options import Settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorldsSettings(Settings):
    """Generate worlds, and measure the seconds of the processor and the memory that each needs (a minute or two).

    Each world is generated in a process of its own, once at size 1 and once at the size that is given.
    """

    size: int = setting(100, "How large the large worlds are, relative to the embedded ones.", ge=1, le=100)
