"""What a training by veRL leaves in a real MLflow, seen with MLflow's own client."""

from pathlib import Path

from mlflow import MlflowClient

from visionthink.config import RunConfig
from visionthink.training.verl.plan import VerlPlan
from visionthink.training.verl.record import stage_run


def test_settings_of_verl_itself_are_parameters_also_where_they_are_added_to_its_own(
    server_uri: str, tmp_path: Path
) -> None:
    plan = VerlPlan(
        train_rows=tmp_path / "rows.parquet",
        base_model=tmp_path / "base",
        output=tmp_path,
        run_id="added",
        tracking_uri=server_uri,
        overrides={"+actor_rollout_ref.rollout.limit_images": 2, "trainer.val_before_train": False},
    )
    said: list[str] = []
    with stage_run(plan, RunConfig(), {}, said.append) as own:
        assert own is not None
    client = MlflowClient(server_uri)
    every = [one.experiment_id for one in client.search_experiments()]
    (run,) = client.search_runs(every, "tags.`visionthink.run_id` = 'added' and tags.`visionthink.stage` = 'train'")
    assert said == []
    assert run.data.params["verl.actor_rollout_ref.rollout.limit_images"] == "2"
    assert run.data.params["verl.trainer.val_before_train"] == "false"
    assert run.data.params["train.num_steps"] == str(RunConfig().train.num_steps)
