"""The courses of heads and workers, with real processes and a board in memory; tests/contract/node has real Rays."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.fakes.memory_board import MemoryBoard, Place

from visionthink.training.node.board import Node
from visionthink.training.node.head import Head
from visionthink.training.node.place import NodePlace
from visionthink.training.node.setting import NodeSetting
from visionthink.training.node.waiting import StopRequest
from visionthink.training.node.worker import Worker

ENV = {"PATH": "/usr/bin:/bin"}
RAY = ("sleep", "1000")
SETTING = NodeSetting(join_timeout_s=20, lost_timeout_s=0.5, head_timeout_s=1, farewell_timeout_s=5, grace_s=15)


@dataclass
class Pods:
    """The nodes of a job, each on a thread."""

    setting: NodeSetting = SETTING
    place: Place = field(default_factory=lambda: Place(nodes=[Node("a", 1), Node("b", 1)]))
    codes: dict[int, int] = field(default_factory=dict)
    said: dict[int, list[str]] = field(default_factory=lambda: {0: [], 1: []})
    stops: dict[int, StopRequest] = field(default_factory=dict)
    threads: dict[int, threading.Thread] = field(default_factory=dict)

    def start(self, rank: int, *script: str) -> None:
        where = NodePlace(rank=rank, num_nodes=2, head_host="127.0.0.1")
        self.stops[rank] = stop = StopRequest(self.setting.grace_s)
        program = ["sh", "-c", "; ".join(script)]
        board, say = MemoryBoard(self.place), self.said[rank].append
        node = (
            Head(where, self.setting, program, board=board, ray=RAY, env=ENV, stop=stop, say=say)
            if rank == 0
            else Worker(where, self.setting, board=board, ray=RAY, env=ENV, stop=stop, say=say)
        )
        self.threads[rank] = threading.Thread(target=lambda: self.codes.__setitem__(rank, node.run()), daemon=True)
        self.threads[rank].start()

    def code(self, rank: int) -> int:
        self.threads[rank].join(60)
        return self.codes[rank]


@pytest.fixture
def pods() -> Pods:
    return Pods()


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end_s, "it did not come to that"
        time.sleep(0.05)


@pytest.mark.parametrize(("end", "want"), [("true", 0), ("exit 2", 2)], ids=["done", "for the user to mend"])
def test_end_of_the_program_is_every_nodes(pods: Pods, end: str, want: int) -> None:
    pods.start(1)
    pods.start(0, end)
    assert (pods.code(0), pods.code(1)) == (want, want)


def test_worker_waits_for_the_head_after_one_whose_program_failed(pods: Pods) -> None:
    pods.start(1)
    pods.start(0, "exit 1")
    assert pods.code(0) == 200
    assert pods.threads[1].is_alive()
    pods.place.restart()
    pods.start(0, "true")
    assert (pods.code(0), pods.code(1)) == (0, 0)


def test_worker_finds_the_head_that_came_in_the_place_of_one_that_was_lost(pods: Pods, tmp_path: Path) -> None:
    pods.start(1)
    pods.place.told["session"] = "a head that will be lost without a word"
    until(lambda: "joining the head" in pods.said[1])
    pods.place.is_there = False
    until(lambda: "the head is gone" in pods.said[1])
    pods.place.restart()
    pods.start(0, "true")
    assert (pods.code(0), pods.code(1)) == (0, 0)


def test_program_sees_the_ray_and_all_nodes(pods: Pods, tmp_path: Path) -> None:
    pods.place.nodes = pods.place.nodes[:1]
    pods.start(0, f"echo $RAY_ADDRESS > {tmp_path}/seen")
    until(lambda: any("1 of 2 nodes" in line for line in pods.said[0]))
    assert not (tmp_path / "seen").exists()
    pods.place.nodes.append(Node("b", 1))
    assert pods.code(0) == 0
    assert (tmp_path / "seen").read_text() == "127.0.0.1:6379\n"


def test_gpus_that_are_missing_are_waited_for_until_the_deadline() -> None:
    pods = Pods(setting=replace(SETTING, num_gpus=8, join_timeout_s=1))
    pods.start(0, "true")
    assert pods.code(0) == 200
    assert "2 of 2 nodes are there, 2 of 16 GPUs after 1 s; look at the pods" in pods.said[0][-1]


def test_program_that_goes_on_without_a_lost_node_is_ended(pods: Pods, tmp_path: Path) -> None:
    pods.start(0, f"touch {tmp_path}/here", "exec sleep 1000")
    until((tmp_path / "here").exists)
    pods.place.nodes.pop()
    assert pods.code(0) == 200
    assert any("1 of 2 nodes are gone for 0.5 s" in line for line in pods.said[0])


@pytest.mark.parametrize(
    ("asked", "want"),
    [((0, 1), (143, 143)), ((1,), (200, 143)), ((0,), (143, None))],
    ids=["all", "the worker alone", "the head alone"],
)
def test_nodes_that_are_asked_to_go_let_the_program_save(
    pods: Pods, tmp_path: Path, asked: tuple[int, ...], want: tuple[int, int | None]
) -> None:
    pods.start(1)
    pods.start(
        0, f"trap 'touch {tmp_path}/saved; exit 1' TERM", f"touch {tmp_path}/here", "while :; do sleep 0.1; done"
    )
    until((tmp_path / "here").exists)
    until(lambda: "joining the head" in pods.said[1])
    for rank in asked:
        pods.stops[rank].ask()
    assert pods.code(0) == want[0] and (tmp_path / "saved").exists()
    if want[1] is None:  # it waits for the next head
        assert pods.threads[1].is_alive()
        pods.stops[1].ask()
        assert pods.code(1) == 143
    else:
        assert pods.code(1) == want[1]


def test_worker_without_a_head_ends_at_its_deadline() -> None:
    pods = Pods(setting=replace(SETTING, join_timeout_s=1))
    pods.place.is_there = False
    pods.start(1)
    assert pods.code(1) == 200
    assert "no head came to 127.0.0.1:6379 in 1 s" in pods.said[1][-1]
