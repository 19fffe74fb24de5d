"""Where samples come from: files in the columns of the published sets, and a world that is drawn (`world`).

Importing this package loads neither pyarrow nor Hugging Face `datasets`; the formats load them when they are used.
"""

from visionthink.datasets.choice import Format
from visionthink.datasets.report import SkipReport, SourceReport
from visionthink.datasets.source import Source, open_source

__all__ = ["Format", "SkipReport", "Source", "SourceReport", "open_source"]
