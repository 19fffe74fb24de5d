"""Our settings in veRL's own configuration: a version of veRL that does not know one of them says so here."""

import json
import subprocess
from pathlib import Path

import pytest

from visionthink.config import RunConfig, override_config
from visionthink.training.verl.overrides import overrides
from visionthink.training.verl.plan import VerlPlan

COMPOSE = """
import json, sys
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict
given = json.load(sys.stdin)
with initialize_config_module("verl.trainer.config", version_base=None):
    for one in given:
        made = compose("ppo_trainer", overrides=one)
        with open_dict(made):
            made.visionthink = {"config": "{}"}
        OmegaConf.resolve(made)
        wanted = [part.lstrip("+").partition("=")[0] for part in one]
        json.dump({name: OmegaConf.select(made, name) if not OmegaConf.is_config(OmegaConf.select(made, name)) else
                   OmegaConf.to_container(OmegaConf.select(made, name)) for name in wanted}, sys.stdout)
        print()
"""

CASES = {
    "the defaults": {},
    "the paper's": {"train.group_size": 16, "train.kl_weight": 0.001, "reward.penalty": "released"},
    "without bounds": {"train.clip_ratio_c": 0.0, "train.max_grad_norm": 0.0, "train.kl_weight": 0.0},
}


@pytest.mark.slow
def test_verl_knows_every_setting(verl_python: Path, tmp_path: Path) -> None:
    """Hydra refuses a plain name that veRL's files do not list, and a `+` before one that they do."""
    plan = VerlPlan(
        train_rows=tmp_path / "rows it's", base_model=tmp_path, output=tmp_path / "out", run_id="a-run", device="cpu"
    )
    given = [overrides(override_config(RunConfig(), settings), plan) for settings in CASES.values()]
    done = subprocess.run(
        [verl_python, "-c", COMPOSE], input=json.dumps(given), capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr
    got = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(got) == len(CASES)
    assert got[0]["data.train_files"] == str(tmp_path / "rows it's")
    assert got[0]["actor_rollout_ref.actor.optim.betas"] == [0.9, 0.98]
    assert got[0]["trainer.v1.sampler.sampler_kwargs.filter_groups"] is False
    assert got[1]["actor_rollout_ref.rollout.n"] == 16 and got[1]["actor_rollout_ref.actor.kl_loss_coef"] == 0.001
    assert got[2]["actor_rollout_ref.actor.use_kl_loss"] is False
