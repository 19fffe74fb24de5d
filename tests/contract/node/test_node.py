"""Nodes with real Rays: how each ending of a driver, a node or a whole job comes out in exit codes."""

import json
import os
from pathlib import Path

import pytest

from tests.contract.node.nodes import NUM_NODES, SIGTERM, job, until

pytest.importorskip("ray", reason="extra `ray` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
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
