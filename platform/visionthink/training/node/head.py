"""The head of a training: its Ray, the wait for the other nodes, the program, and the word on how it ended.

Rule: the head alone decides how the training ended, because PyTorchJob takes the Master's end for the job's. Whatever
happens, its exit code is told on the board before the head's Ray goes, and each step has a deadline.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence

from visionthink.errors import BackendError
from visionthink.training.node.board import Board
from visionthink.training.node.exit_code import RETRY, STOPPED, of_program
from visionthink.training.node.place import NodePlace
from visionthink.training.node.process import end, start
from visionthink.training.node.ray_node import RayNode
from visionthink.training.node.setting import NodeSetting
from visionthink.training.node.step_line import StepLines
from visionthink.training.node.waiting import Deadline, StopRequest


class Head:
    """The head's course."""

    def __init__(
        self,
        place: NodePlace,
        setting: NodeSetting,
        program: Sequence[str],
        *,
        board: Board,
        ray: Sequence[str],
        env: Mapping[str, str],
        stop: StopRequest,
        say: Callable[[str], None],
    ) -> None:
        """Run `program` with `env` once all nodes are there; `ray` is what starts this one's Ray."""
        self._place, self._setting, self._program = place, setting, program
        self._env, self._stop, self._say = env, stop, say
        self._board, self._ray = board, ray

    def run(self) -> int:
        """Everything, from the start of Ray to its end; the exit code of the node."""
        if self._place.ray_address is not None:
            return self._work(None)
        deadline = Deadline(self._setting.join_timeout_s)
        while not deadline.is_over:
            with RayNode(self._ray, self._env) as node:
                if not self._is_up(node, deadline):
                    if self._stop.is_asked:
                        return STOPPED
                    # Ray gives its own parts half a minute to start, which a busy machine may not have.
                    self._say("the head's Ray did not come up; its log is above. Starting it again")
                    continue
                code = self._work(node)
                self._farewell(code)
                return code
        self._say(f"the head's Ray did not come up in {self._setting.join_timeout_s:g} s")
        return RETRY

    def _is_up(self, node: RayNode, deadline: Deadline) -> bool:
        while not (node.has_ended or deadline.is_over or self._stop.is_asked):
            try:
                if self._board.nodes():
                    self._board.open_session(uuid.uuid4().hex)
                    return True
            except BackendError:
                pass
            self._stop.pause()
        return False

    def _work(self, node: RayNode | None) -> int:
        code = self._gather(node)
        return self._drive(node) if code is None else code

    def _gather(self, node: RayNode | None) -> int | None:
        """Wait until all nodes and GPUs are there; a code when they do not come."""
        setting, num_nodes = self._setting, self._place.num_nodes
        num_gpus = setting.num_gpus * num_nodes
        deadline, told = Deadline(setting.join_timeout_s), ""
        while not self._stop.is_asked:
            state = self._count()
            if state is not None and state[0] >= num_nodes and state[1] >= num_gpus:
                self._say(f"all {num_nodes} nodes with {num_gpus} GPUs are there")
                return None
            there = (
                "Ray does not answer"
                if state is None
                else f"{state[0]} of {num_nodes} nodes are there, {state[1]:g} of {num_gpus} GPUs"
            )
            if deadline.is_over or (node is not None and node.has_ended):
                self._say(
                    f"{there} after {setting.join_timeout_s:g} s; look at the pods that are missing (are they pending, "
                    "can they reach this one?), or wait longer with --join-timeout"
                )
                return RETRY
            if there != told:
                self._say(told := there)
            self._stop.pause()
        return STOPPED

    def _count(self) -> tuple[int, float] | None:
        try:
            nodes = self._board.nodes()
        except BackendError:
            return None
        return len(nodes), sum(node.num_gpus for node in nodes)

    def _drive(self, node: RayNode | None) -> int:
        self._say(f"starting {' '.join(self._program)}")
        program = start(self._program, {**self._env, "RAY_ADDRESS": self._board.address})
        lines = StepLines(self._setting.steps_file, self._setting.num_steps, say=self._say)
        lost: Deadline | None = None
        while program.poll() is None:
            lines.follow()
            if (leaving := self._leaving()) is not None:
                self._say(f"{leaving}; the program has {self._setting.program_grace_s:.0f} s to save its work")
                code = end(program, within_s=min(self._setting.program_grace_s, self._stop.left_s))
                # A program that had finished meanwhile is done; asked to go and gone is not.
                return of_program(code) if code == 0 else (STOPPED if self._stop.is_asked else RETRY)
            missing = self._missing(node)
            lost = (lost or Deadline(self._setting.lost_timeout_s)) if missing else None
            if missing and lost is not None and lost.is_over:
                self._say(f"{missing} for {self._setting.lost_timeout_s:g} s and the program goes on; ending it")
                end(program, within_s=self._setting.program_grace_s)
                return RETRY
            self._stop.pause()
        lines.follow()
        code = of_program(program.returncode)
        self._say(f"the program ended with {program.returncode}, so this node ends with {code}")
        return code

    def _leaving(self) -> str | None:
        if self._stop.is_asked:
            return "this node was asked to go"
        try:
            rank = self._board.stopping()
        except BackendError:
            return None  # told by `_missing`
        return None if rank is None else f"node {rank} was asked to go"

    def _missing(self, node: RayNode | None) -> str | None:
        state = self._count()
        if state is None or (node is not None and node.has_ended):
            return "Ray is gone"
        if state[0] < self._place.num_nodes:
            return f"{self._place.num_nodes - state[0]} of {self._place.num_nodes} nodes are gone"
        return None

    def _farewell(self, code: int) -> None:
        """Tell how it ended, and wait a little until all that are there know."""
        deadline = Deadline(min(self._setting.farewell_timeout_s, self._stop.left_s))
        left = set(range(1, self._place.num_nodes))
        try:
            self._board.tell_outcome(code)
            while left and not deadline.is_over:
                left -= {rank for rank in left if self._board.has_seen(rank)}
                if len(self._board.nodes()) <= 1:
                    return
                self._stop.pause(0.2)
        except BackendError as error:
            self._say(f"the other nodes could not be told how it ended: {error}")
