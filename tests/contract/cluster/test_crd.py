"""The objects that we build against the definitions that clusters hold, where these lie beside the checkout.

A server takes fields that it does not know and drops them, so a schema that knows no others is stricter than a server.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from visionthink.cluster.training import TrainingJob, pytorch_job
from visionthink.config import load_config, override_config, preset_names

jsonschema = pytest.importorskip("jsonschema", reason="extra `ray` is not installed")
CRD = Path(__file__).parents[4] / "shared" / "crds" / "training-operator-v1.9.4" / "kubeflow.org_pytorchjobs.yaml"


@pytest.fixture(scope="module")
def schema() -> Any:
    if not CRD.exists():
        pytest.skip(f"{CRD} is not there")
    definition = yaml.load(CRD.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return closed(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def closed(schema: Any) -> Any:
    """The schema without room for what it does not name; `metadata` is the server's own business."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if found.pop("x-kubernetes-int-or-string", False):
        found.pop("anyOf", None)
        found["type"] = ["integer", "string"]
    is_object = isinstance(found.get("properties"), dict) and found.get("type") == "object"
    if is_object and not found.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


@pytest.mark.parametrize("preset", preset_names())
def test_job_is_one_by_its_definition(schema: Any, preset: str) -> None:
    everything = {
        "queue": "gpus",
        "priority_class": "high",
        "node_selector": ["gpu=h100"],
        "claims": ["runs:/runs"],
        "folders": ["/srv/venv:/opt/venv"],
        "secrets": ["s3"],
        "env": ["A=b"],
    }
    config = override_config(load_config(None, preset=preset), {"cluster.training": everything})
    manifest = pytorch_job(config, TrainingJob(run_id="run", program=("go",)))
    jsonschema.Draft202012Validator(schema).validate({**manifest, "metadata": {}})


def test_definition_refuses_a_field_that_it_does_not_name(schema: Any) -> None:
    manifest: Any = pytorch_job(load_config(None), TrainingJob(run_id="run", program=("go",)))
    pod = manifest["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]
    pod["containers"][0]["imagee"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        jsonschema.Draft202012Validator(schema).validate({**manifest, "metadata": {}})
