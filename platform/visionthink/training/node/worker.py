"""A node beside the head: its Ray joins the head's, until the head says how it ended.

Rule: a worker outlives its heads. When one is gone, or its try failed, the worker waits for the next: PyTorchJob starts
the Master anew, and a worker that ended instead would count as a failure of its own.
"""

from collections.abc import Callable, Mapping, Sequence

from visionthink.errors import BackendError
from visionthink.training.node.board import Board
from visionthink.training.node.exit_code import DONE, RETRY, STOPPED, is_permanent
from visionthink.training.node.place import NodePlace
from visionthink.training.node.ray_node import RayNode
from visionthink.training.node.setting import NodeSetting
from visionthink.training.node.waiting import Deadline, StopRequest


class Worker:
    """The worker's course."""

    def __init__(
        self,
        place: NodePlace,
        setting: NodeSetting,
        *,
        board: Board,
        ray: Sequence[str],
        env: Mapping[str, str],
        stop: StopRequest,
        say: Callable[[str], None],
    ) -> None:
        """Join the head of `board`; `ray` is what starts this node's Ray."""
        self._place, self._setting, self._env, self._stop, self._say = place, setting, env, stop, say
        self._board, self._ray, self._address = board, ray, board.address
        self._ended: set[str] = set()

    def run(self) -> int:
        """Serve one head after the other; the exit code of the node."""
        while True:
            session = self._await_head(self._board)
            if session is None:
                return STOPPED if self._stop.is_asked else RETRY
            with RayNode(self._ray, self._env) as node:
                code = self._serve(self._board, session, node)
            if code is not None:
                return code

    def _await_head(self, board: Board) -> str | None:
        """The name of a head whose end nobody told of; None when none comes or this node is to go."""
        self._say(f"waiting for a head at {self._address}")
        deadline = Deadline(self._setting.join_timeout_s)
        while not self._stop.is_asked:
            session = self._session(board)
            if session is not None and session not in self._ended:
                return session
            if deadline.is_over:
                self._say(
                    f"no head came to {self._address} in {self._setting.join_timeout_s:g} s; look at the log of the "
                    "first node, or wait longer with --join-timeout"
                )
                return None
            self._stop.pause()
        return None

    def _session(self, board: Board) -> str | None:
        try:
            return board.session()
        except BackendError:
            return None

    def _serve(self, board: Board, session: str, node: RayNode) -> int | None:
        """Stay until the head says how it ended: the code to end with, None to go on with the next head."""
        self._say("joining the head")
        silent: Deadline | None = None
        has_told = False
        while not node.has_ended:
            if self._stop.is_asked and self._stop.left_s <= self._setting.grace_s - self._setting.program_grace_s:
                return STOPPED
            try:
                if board.session() != session:
                    self._say("there is a new head")
                    return None
                if (outcome := board.outcome()) is not None:
                    return self._part(board, session, outcome)
                if self._stop.is_asked and not has_told:
                    board.tell_stopping(self._place.rank)  # so that the program saves while all nodes are there
                    has_told = True
                silent = None
            except BackendError:
                silent = silent or Deadline(self._setting.head_timeout_s)
                if silent.is_over:
                    self._say("the head is gone")
                    return STOPPED if self._stop.is_asked else None
            self._stop.pause()
        if self._stop.is_asked:
            return STOPPED
        self._say("this node's Ray ended by itself")
        return None

    def _part(self, board: Board, session: str, outcome: int) -> int | None:
        board.tell_seen(self._place.rank)
        self._ended.add(session)
        self._say(f"the head ends with {outcome}")
        if outcome == DONE or is_permanent(outcome):
            return outcome
        return STOPPED if self._stop.is_asked else None
