"""What Kubeflow draws on the page of a run.

Rule: figures are handed on as the stage made them; nothing is computed for the page alone.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from visionthink.pipelines.artifact import Artifact


class MetricsArtifact(Protocol):
    """What is used of a Kubeflow Metrics artifact."""

    def log_metric(self, metric: str, value: float) -> None:
        """Keep a number for the run page."""


class ConfusionArtifact(Protocol):
    """What is used of a Kubeflow ClassificationMetrics artifact."""

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Keep a matrix for the run page: rows are true, columns predicted."""


def display(
    result: Mapping[str, object],
    folder: Path,
    *,
    metrics: MetricsArtifact | None,
    confusion: ConfusionArtifact | None,
    html: Artifact | None,
) -> None:
    """Fill what the page shows from the result of a stage."""
    numbers, matrix, page = result.get("metrics"), result.get("confusion"), result.get("html")
    if metrics is not None and isinstance(numbers, Mapping):
        for key, value in numbers.items():
            metrics.log_metric(str(key), float(value))
    if confusion is not None and isinstance(matrix, Iterable):
        rows = [[int(count) for count in row] for row in matrix]
        confusion.log_confusion_matrix(["asks for the full view", "answers from the quarter view"], rows)
    if html is not None and page is not None:
        Path(html.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / str(page), html.path)
