"""Registration: whether the trained model may take over, and its publication as a version that never changes."""

from visionthink.registration.stage import register_stage

__all__ = ["register_stage"]
