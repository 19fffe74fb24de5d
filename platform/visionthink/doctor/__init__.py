"""Whether a cluster has what the platform needs, and which command mends what it lacks.

Rule: looking and judging are apart. `look` and `probe` ask servers and decide nothing; `judge` is pure: what was seen
in, verdicts out. What may not be looked at is told as unknown, never as right or wrong.
"""

from visionthink.doctor.checkup import Checkup, check_up
from visionthink.doctor.verdict import Health, Verdict

__all__ = ["Checkup", "Health", "Verdict", "check_up"]
