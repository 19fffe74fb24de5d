import json

from visionthink import metrics as m
from visionthink.training.verl.steps import read_steps, step_metrics

TOLD = {
    "actor/kl_loss": 0.5,
    "actor/lr": 1e-4,
    "timing_s/step": 10.0,
    "timing_s/gen": 4.0,
    "reward/mean": 1.25,
    "critic/score/mean": 7.0,
    "training/epoch": None,
    "actor/grad_norm": float("nan"),
    "resize/rate": 0.25,
}


def test_a_number_has_the_name_of_the_local_trainer() -> None:
    assert step_metrics(TOLD) == {
        "policy/kl": 0.5,
        "optim/learning_rate": 1e-4,
        "perf/step_s": 10.0,
        "perf/rollout_s": 4.0,
        "perf/train_s": 6.0,
        "reward/mean": 1.25,
        "resize/rate": 0.25,
    }
    m.check(step_metrics(TOLD))


def test_a_line_that_is_being_written_is_read_later() -> None:
    lines = [json.dumps({"step": step, "data": {"timing_s/step": 1.0}}) + "\n" for step in (1, 2)]
    assert [step.number for step in read_steps("".join(lines))] == [1, 2]
    assert [step.number for step in read_steps("".join(lines)[:-1])] == [1]
    assert list(read_steps("")) == []


def test_a_validation_is_no_step() -> None:
    assert list(read_steps(json.dumps({"step": 0, "data": {"val-core/needed/acc/mean@1": 1.0}}) + "\n")) == []
