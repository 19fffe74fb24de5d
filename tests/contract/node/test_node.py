"""Nodes with real Rays: how each ending of a program, a node or a whole job comes out in exit codes."""

import json
from pathlib import Path

import pytest
from tests.contract.node.nodes import NUM_NODES, SIGTERM, job, until

pytest.importorskip("ray", reason="extra `ray` is not installed")
pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.timeout(600)]
EVERY = range(NUM_NODES)


def test_job_succeeds_on_all_nodes_and_leaves_nothing(tmp_path: Path) -> None:
    steps = tmp_path / "steps.jsonl"
    with job(tmp_path, options=[f"--steps-file={steps}", "--steps=4"]) as made:
        made.start(*EVERY)
        assert [made.end(rank) for rank in EVERY] == [0, 0, 0]
        assert made.left() == []
    assert json.loads((tmp_path / "try-from-0").read_text()) == {"nodes": NUM_NODES, "leaked": []}
    assert made.count == 4
    assert "node 0: training: step 4/4, reward 1.25" in made.log(0)


def test_what_the_user_can_mend_ends_every_node_for_good(tmp_path: Path) -> None:
    with job(tmp_path, "--hold=1", "--fail=2") as made:
        made.start(*EVERY)
        assert [made.end(rank) for rank in EVERY] == [2, 2, 2]
        assert made.left() == []


def test_workers_wait_for_the_next_try_of_a_program_that_failed(tmp_path: Path) -> None:
    with job(tmp_path, "--hold=2", "--fail=1") as made:
        made.start(*EVERY)
        assert made.end(0) == 200
        assert [made.pods[rank].poll() for rank in (1, 2)] == [None, None]
        made.start(0)
        assert [made.end(rank) for rank in EVERY] == [0, 0, 0]
        assert made.left() == []
    assert made.tries() == {"try-from-0", "try-from-2"} and made.count == 4


@pytest.mark.parametrize("killed", [0, 1], ids=["head", "worker"])
def test_lost_node_ends_the_try_and_the_next_one_goes_on_from_what_was_saved(killed: int, tmp_path: Path) -> None:
    with job(tmp_path, "--hold=2") as made:
        made.start(*EVERY)
        until(lambda: made.count == 2)
        made.kill(killed)
        if killed:
            assert made.end(0, within_s=90) == 200
            made.start(0)
        made.start(killed)
        made.go()
        assert [made.end(rank) for rank in EVERY] == [0, 0, 0]
        assert made.left() == []
    assert made.tries() == {"try-from-0", "try-from-2"} and made.count == 4


def test_node_that_never_comes_ends_the_wait_at_its_deadline_by_name(tmp_path: Path) -> None:
    with job(tmp_path, options=["--join-timeout=60"]) as made:
        made.start(0, 1)
        assert [made.end(rank) for rank in (0, 1)] == [200, 200]
        assert made.left() == []
        assert "2 of 3 nodes are there, 0 of 0 GPUs after 60 s; look at the pods" in made.log(0)
        assert "no head came to" in made.log(1)


def test_sigterm_to_all_lets_the_program_save_and_leaves_nothing(tmp_path: Path) -> None:
    with job(tmp_path, "--hold=2") as made:
        made.start(*EVERY)
        until(lambda: made.count == 2)
        for rank in EVERY:
            made.pods[rank].send_signal(SIGTERM)
        assert [made.end(rank, within_s=60) for rank in EVERY] == [143, 143, 143]
        assert made.left() == []
    assert (tmp_path / "saved").read_text() == "2"


def test_node_that_is_asked_to_go_alone_lets_the_program_save(tmp_path: Path) -> None:
    with job(tmp_path, "--hold=2") as made:
        made.start(*EVERY)
        until(lambda: made.count == 2)
        made.pods[2].send_signal(SIGTERM)
        assert [made.end(rank, within_s=60) for rank in (0, 2)] == [200, 143]
    assert (tmp_path / "saved").read_text() == "2"
