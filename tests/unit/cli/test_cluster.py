"""The commands `cluster ...` at the command line."""

import pytest
import yaml

from visionthink.cli.app import run_command


def test_render_serving_prints_what_serves_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command(
        [
            *("cluster", "render", "serving", "--model", "s3://models/ar/12", "--namespace", "ml"),
            *("--set", "cluster.serving.name=ar", "--set", "serve.timeout_s=30"),
        ]
    )
    found = list(yaml.safe_load_all(capsys.readouterr().out))
    assert code == 0
    assert [manifest["kind"] for manifest in found] == [
        *("ServingRuntime", "InferenceService", "PodDisruptionBudget", "HTTPRoute")
    ]
    assert {manifest["metadata"]["namespace"] for manifest in found} == {"ml"}
    assert found[1]["metadata"]["name"] == "ar"
    assert found[1]["spec"]["predictor"]["model"]["storageUri"] == "s3://models/ar/12"
    assert "--set=serve.timeout_s=30.0" in found[0]["spec"]["containers"][1]["args"]


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ([], "write --model s3://BUCKET/PREFIX"),
        (["--model", "models/12"], "cluster.serving.model_uri"),
        (["--model", "s3://m/1", "--set", "cluster.serving.drain_s=5"], "requests would be cut off"),
    ],
    ids=["no model", "no address", "times that do not fit"],
)
def test_what_cannot_be_rendered_is_told(options: list[str], want: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["cluster", "render", "serving", *options]) == 2
    told = capsys.readouterr()
    assert want in told.err and told.out == ""
