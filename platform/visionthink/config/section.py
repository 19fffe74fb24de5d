"""The base of every configuration section: frozen, no unknown key, no lossy number."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings; two equal sections compare equal and hash the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
