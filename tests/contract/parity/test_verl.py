"""The recorded transcripts through the rollouts that veRL trains on: as the local trainer has them, bit for bit."""

import asyncio
import json
import math
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from tests.contract.parity.test_drivers import SAMPLE, SEED, TRANSCRIPTS, config_of, play
from tests.fakes.asked import runner_over
from tests.fakes.rollout_server import ScriptedServer
from tests.unit.engines.tiny_model import tiny_processor

from visionthink.engines import Sampling, ScriptedEngine
from visionthink.engines.encoding import Encoder
from visionthink.episodes.driver import derived_seed
from visionthink.episodes.prompting import ViewPolicy
from visionthink.judges import RuleJudge
from visionthink.samples import decoded
from visionthink.storage import open_store
from visionthink.training.local.rollout import Prompt, Rollout, collect
from visionthink.training.verl.groups import Row, rewarded
from visionthink.training.verl.picture_cache import Originals, PictureFiles
from visionthink.training.verl.rollout import HeldRollout, RolloutHolder
from visionthink.training.verl.rows import store_pictures, write_rows
from visionthink.training.verl.server_engine import Room

ORACLE = Path(__file__).parents[2] / "oracles" / "verl_grpo.py"
GROUPS = (
    ("answers at once", "asks, then answers", "asks with broken json", "never answers"),
    ("answers at once", "asks until the answer is demanded", "writes nothing", "asks for an unknown tool"),
    ("answers at once", "answers at once", "answers at once", "answers at once"),
)
"""Transcripts of rollouts of one sample; the last group teaches nothing."""


def info_of(policy: ViewPolicy, folder: Path) -> dict[str, Any]:
    """The row of the sample, as veRL reads it."""
    places = store_pictures([SAMPLE], open_store(str(folder / "pictures")))
    write_rows(folder / "rows.parquet", [SAMPLE], places, policy=policy)
    info: dict[str, Any] = pq.read_table(folder / "rows.parquet").to_pylist()[0]["extra_info"]
    return info


def held(titles: Sequence[str], folder: Path) -> list[HeldRollout]:
    config, policy = config_of(titles[0]), TRANSCRIPTS[titles[0]][0]
    info = info_of(policy, folder)
    holder = RolloutHolder(
        config,
        Encoder(tiny_processor()),
        RuleJudge(),
        Originals(PictureFiles(folder / "cache"), lambda sample: decoded(sample, config.data)),
        room=Room(prompt=4096, total=8192),
    )

    async def all_of_them() -> list[HeldRollout]:
        servers = [ScriptedServer(TRANSCRIPTS[title][1]) for title in titles]
        return [await holder.hold(server, info, temperature=1.0, top_p=1.0) for server in servers]

    return asyncio.run(all_of_them())


def by_local_trainer(groups: Sequence[Sequence[str]]) -> list[Rollout]:
    """The same transcripts, one prompt a group, through the local trainer's rollouts."""
    config, size = config_of(groups[0][0]), len(groups[0])
    places = range(len(groups) * size)
    lines = {
        derived_seed(SEED, place, turn + 1): line
        for place in places
        for turn, line in enumerate(TRANSCRIPTS[groups[place // size][place % size]][1])
    }
    engine = ScriptedEngine(lambda request: lines[request.sampling.seed or 0])
    found = asyncio.run(
        collect(
            [Prompt(sample=SAMPLE, needed=True) for _ in groups],
            runner=runner_over(engine, config=config),
            decode=lambda sample: decoded(sample, config.data),
            sampling=Sampling(max_tokens=40, seed=SEED),
            group_size=size,
            rule=config.reward.rule(),
            format_rule=config.reward.format_rule,
        )
    )
    return list(found.rollouts)


@pytest.mark.parametrize("title", TRANSCRIPTS)
def test_a_transcript_is_the_same_row(title: str, tmp_path: Path) -> None:
    """Ids, mask and pixels are those that every other driver has; only what follows the last reply is cut off."""
    want = play("evaluate" if TRANSCRIPTS[title][0] != "auto" else "train", title, tmp_path / "want")
    (got,) = held([title], tmp_path)
    row = got.trajectory
    length = len(row.prompt_ids) + len(row.response_ids)
    assert row.prompt_ids + row.response_ids == want.ids[:length]
    assert (False,) * len(row.prompt_ids) + row.mask == want.mask[:length] and not any(want.mask[length:])
    pixels = torch.cat([view.patches for view in got.views])
    images = [view.grid_thw.tolist()[0][1:] for view in got.views]
    assert sum(int(view.grid_thw.prod()) for view in got.views) == len(pixels)
    assert [height * width // 4 for height, width in images] == [
        view.visual_tokens for message in want.asked[-1] for view in message.views
    ]


def by_verl_path(groups: Sequence[Sequence[str]], folder: Path) -> tuple[Row, ...]:
    """The rows of the groups, as the group hook reads them."""
    rows = []
    for number, group in enumerate(groups):
        rollouts = held(group, folder / str(number))
        rows += [Row(group=str(number), facts=one.facts, error=one.error) for one in rollouts]
    return tuple(rows)


def test_groups_have_the_same_rewards_to_the_bit(tmp_path: Path) -> None:
    local = by_local_trainer(GROUPS)
    rows = by_verl_path(GROUPS, tmp_path)
    got = rewarded(rows, config_of(GROUPS[0][0]).reward.rule(), group_size=4)
    assert got.kept == tuple(one.is_kept for one in local) == (True,) * 8 + (False,) * 4
    assert got.rewards[:8] == tuple(one.reward.total for one in local[:8])
    assert len(set(got.rewards[:8])) > 3, "the transcripts hardly differ"
    assert got.rewards[8:] == (0.0,) * 4
    asked = sum(one.finish.trace.asked for one in local) / 12
    assert got.metrics["resize/rate"] == asked and got.metrics["group/num_zero_variance"] == 1


def test_verl_makes_the_local_trainers_advantages_of_them(tmp_path: Path, verl_python: Path) -> None:
    local = by_local_trainer(GROUPS)
    rewards = rewarded(by_verl_path(GROUPS, tmp_path), config_of(GROUPS[0][0]).reward.rule(), group_size=4).rewards
    request = {"op": "grpo_advantage", "rewards": [rewards[:4], rewards[4:8], rewards[8:]], "eps": 1e-6}
    done = subprocess.run(
        [verl_python, ORACLE],
        input=json.dumps([request | {"normalise": True}]),
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    got = [value for group in json.loads(done.stdout)[0]["values"] for value in group]
    for value, one in zip(got, local, strict=True):
        assert all(math.isclose(value, advantage, abs_tol=1e-6) for advantage in one.advantages)
    assert sum(value != 0 for value in got) >= 6
