"""Labelling: which samples need the full resolution, told by how often the base model solves them at either size.

Source: VisionThink 3.5.
"""

from visionthink.labeling.record import Labelled
from visionthink.labeling.stage import label_stage

__all__ = ["Labelled", "label_stage"]
