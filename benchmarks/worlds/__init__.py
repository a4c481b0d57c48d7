"""``spec-envs bench worlds``: what do generated worlds cost?"""

import dataclasses

from spec_envs.benchmarks.options import Settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorldsSettings(Settings):
    """Generate worlds, and measure the processor time and the memory that each needs (a minute or two).

    Each world is generated in a process of its own, once at size 1 and once at --size.
    """

    size: int = setting(100, "The size of the large worlds, as a multiple of the embedded worlds.", ge=1, le=100)
