"""What a training left: its run in MLflow and its objects in the bucket, as JSON.

Takes the tracker's address, the id of the run, the bucket and the prefix of the checkpoints.
"""

import json
import sys

import boto3
from mlflow import MlflowClient


def main(tracking_uri: str, run_id: str, bucket: str, prefix: str) -> None:
    """Look, and change nothing."""
    client = MlflowClient(tracking_uri)
    every = [one.experiment_id for one in client.search_experiments()]
    (run,) = client.search_runs(every, f"tags.`visionthink.run_id` = '{run_id}' and tags.`visionthink.stage` = 'train'")
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "reward/mean")]
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    told = {"run": run.info.run_id, "status": run.info.status, "steps": steps, "metrics": len(run.data.metrics)}
    print(json.dumps({**told, "objects": sorted(one["Key"] for one in listed)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
