"""Where samples come from: files in the columns of the published sets, and a world that is drawn (`world`).

Importing this package loads neither pyarrow nor Hugging Face `datasets`; the formats load them when they are used.
"""

from visionthink.datasets.source import Format, SkipReport, Source, open_source

__all__ = ["Format", "SkipReport", "Source", "open_source"]
