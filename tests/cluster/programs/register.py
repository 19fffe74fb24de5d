"""What a step of a pipeline does with a trained model: it is published in the bucket and registered.

Takes the settings of the installation, the bucket, the id of the run and the model's folder. Prints the version and
where it lies, as JSON.
"""

import json
import os
import sys
from pathlib import Path

from visionthink.config import load_config
from visionthink.storage import open_store, publish_tree
from visionthink.tracking import MlflowConnection, MlflowRegistry, MlflowSettings, RunSpec


def main(settings: str, bucket: str, run_id: str, folder: str, alias: str = "") -> None:
    """Publish and register; move `alias` to the version, if one is named."""
    config = load_config(Path(settings))
    name = config.register_model.name
    store = open_store(f"s3://{bucket}/models")
    publish_tree(store, f"{name}/{run_id}", Path(folder))
    tracking = config.tracking
    found = MlflowSettings.from_env(
        os.environ,
        runs_dir=Path("/tmp"),
        experiment=tracking.experiment,
        uri=tracking.uri,
        timeout_s=tracking.timeout_s,
    )
    registry = MlflowRegistry(MlflowConnection(found))
    model = registry.register(name, f"{store.uri}/{name}/{run_id}", RunSpec(run_id=run_id, stage="register"))
    if alias:
        registry.set_alias(model, alias)
    print(json.dumps({"version": model.version, "uri": model.source}))


if __name__ == "__main__":
    main(*sys.argv[1:])
