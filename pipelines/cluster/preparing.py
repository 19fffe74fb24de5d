"""The step `prepare`: the fields become settings, once for all steps.

Rule: what would end the run later ends it here, before a GPU is asked for. The settings travel as a parameter, without
passwords; those stand in the run's folder alone, for the steps that see its volume.
"""

import os
from typing import NamedTuple

from visionthink.pipelines.cluster.cache_key import cache_key
from visionthink.pipelines.cluster.fields import Fields, resolve
from visionthink.pipelines.cluster.place import platform_file, told
from visionthink.pipelines.parameter import to_parameter
from visionthink.stage import check_inputs


class Prepared(NamedTuple):
    """What the step hands on."""

    config: str
    key: str


def prepare_step(fields: Fields) -> Prepared:
    """Resolve the fields, keep the settings with the run, and return what the other steps are told.

    Raises:
        SystemExit: a field or a setting is refused, or the data cannot be reached.
    """
    with told("prepare") as folder:
        config = resolve(fields, platform_file(os.environ), os.environ)
        check_inputs(config, trains=True)
        folder.begin(config)
        return Prepared(config=to_parameter(config.model_dump_json()), key=cache_key(config))
    raise AssertionError("a failure has ended the process")
