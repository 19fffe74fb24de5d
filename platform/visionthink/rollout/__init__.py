"""Rollout: a new version comes into use step by step, or the old one gets everything back.

Rule: `core` decides (states, steps, gate, SLOs), the driver carries out, and the cluster is the only memory. Cluster,
registry, evaluation, SLOs and time are ports.
"""

from visionthink.rollout.driver import Rollout
from visionthink.rollout.record import RolloutRecord, ServedVersion, read_record

__all__ = ["Rollout", "RolloutRecord", "ServedVersion", "read_record"]
