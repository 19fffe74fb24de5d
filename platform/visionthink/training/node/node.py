"""What every pod of a PyTorchJob runs: the head's course or the worker's, and nothing left behind."""

import os
import signal
import sys
from collections.abc import Sequence

from visionthink.errors import ConfigError
from visionthink.training.node.board import Board
from visionthink.training.node.exit_code import DONE
from visionthink.training.node.head import Head
from visionthink.training.node.place import current_place
from visionthink.training.node.process import adopt_orphans, end_descendants
from visionthink.training.node.ray_node import address_of, ray_command
from visionthink.training.node.setting import NodeSetting, check_cpus
from visionthink.training.node.waiting import StopRequest
from visionthink.training.node.worker import Worker


def run_node(setting: NodeSetting, program: Sequence[str]) -> int:
    """Be the node that the environment says; the exit code that tells PyTorchJob how it went.

    Raises:
        ConfigError: the environment or the settings cannot work, on any try.
    """
    if not program:
        raise ConfigError("there is nothing to run; give the command after --")
    place = current_place()
    check_cpus(setting, place.num_nodes)

    def say(line: str) -> None:
        print(f"node {place.rank}: {line}", file=sys.stderr, flush=True)

    board, ray = Board(place.ray_address or address_of(place, setting)), ray_command(place, setting)
    stop = StopRequest(setting.grace_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.ask)
    adopt_orphans()
    try:
        if place.is_head:
            head = Head(place, setting, program, board=board, ray=ray, env=os.environ, stop=stop, say=say)
            return head.run()
        if place.ray_address is not None:
            say("there is a Ray already, and its program runs on the first node; nothing to do here")
            return DONE
        return Worker(place, setting, board=board, ray=ray, env=os.environ, stop=stop, say=say).run()
    finally:
        end_descendants()
