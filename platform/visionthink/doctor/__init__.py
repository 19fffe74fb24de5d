"""Whether a cluster has what the platform needs, and which command mends what it lacks.

Rule: looking and telling are apart. `look` and `probe` ask servers and decide nothing; `diagnose` is pure: what was
seen in, diagnoses out. What may not be looked at is told as unknown, never as right or wrong.
"""

from visionthink.doctor.checkup import Checkup, check_up
from visionthink.doctor.diagnosis import Diagnosis, Health

__all__ = ["Checkup", "Diagnosis", "Health", "check_up"]
