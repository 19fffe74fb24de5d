from dataclasses import replace
from pathlib import Path

import pytest

from visionthink.errors import ConfigError
from visionthink.training.verl.plan import VerlPlan

PLAN = VerlPlan(train_rows=Path("/rows"), base_model=Path("/base"), output=Path("/out"), run_id="a-run")


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        replace(
            PLAN,
            val_rows=Path("/val"),
            forecast=Path("/forecast"),
            device="cpu",
            tracking_uri="http://tracker",
            checkpoint_store="s3://a/b",
        ),
        replace(PLAN, overrides={"a.b": 1, "+c": None, "d": (1, 2), "e": 0.5, "f": True, "g": "word"}),
    ],
)
def test_a_plan_passes_through_json(plan: VerlPlan) -> None:
    assert VerlPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run_id": "a"}', '{"run_id": 3, "output": 4}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"no plan of a training"):
        VerlPlan.from_json(text)


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(ConfigError, match="a plan has no colour"):
        VerlPlan.from_json(PLAN.to_json().replace('"run_id"', '"colour": 1, "run_id"'))


@pytest.mark.parametrize("counts", [{"num_nodes": 0}, {"gpus_per_node": 0}, {"num_checkpoints": 0}])
def test_counts_begin_at_one(counts: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least one node"):
        replace(PLAN, **counts)  # type: ignore[arg-type]
