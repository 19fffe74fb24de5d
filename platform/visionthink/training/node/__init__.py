"""One node of a training on several machines: Ray around a program, and an exit code that says how it ended.

Rule: nothing here knows what is trained. A program is a command; it finds a Ray cluster of so many nodes and GPUs
under RAY_ADDRESS, continues from what it saved, takes a SIGTERM as the wish to save and go, and ends with 0 (done), 2
(the user can mend it) or anything else (try again).
"""

from visionthink.training.node.exit_code import DONE, RETRY, STOPPED
from visionthink.training.node.node import run_node
from visionthink.training.node.place import NodePlace
from visionthink.training.node.setting import NodeSetting

__all__ = ["DONE", "RETRY", "STOPPED", "NodePlace", "NodeSetting", "run_node"]
