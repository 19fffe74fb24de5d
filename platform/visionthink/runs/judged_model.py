"""The model that a run judges, registers and serves.

Rule: every stage behind the training finds it here, whether the run trained it or was told where it lies.
"""

from pathlib import Path

from visionthink.errors import DataError
from visionthink.model.bundled import check_model
from visionthink.runs.folder import RunFolder
from visionthink.runs.task import StageTask


def model_to_judge(task: StageTask) -> Path:
    """The model that is evaluated, registered and served.

    Raises:
        UserError: there is none.
    """
    if task.config.evaluate.model is not None:
        folder = Path(task.config.evaluate.model)
        check_model(folder)
        return folder
    return trained_model(task.folder)


def trained_model(folder: RunFolder) -> Path:
    """The model that a run trained.

    Raises:
        DataError: it has not trained one.
    """
    if not (folder.trained_model / "config.json").is_file():
        raise DataError(
            f"run {folder.path} has no trained model; run `visionthink train` first, or name one with --model FOLDER"
        )
    return folder.trained_model
