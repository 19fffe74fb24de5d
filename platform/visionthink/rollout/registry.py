"""The alias of the model registry that says which version is in use.

Rule: a registry that does not answer is an error: a rollout does not end before the alias tells the truth.
"""

from dataclasses import dataclass

from visionthink.errors import DataError
from visionthink.rollout.record import ServedVersion
from visionthink.tracking import MlflowRegistry, RegisteredModel


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowVersions:
    """The versions of one model in MLflow."""

    registry: MlflowRegistry
    name: str
    alias: str

    def current(self) -> str | None:
        """The number of the version at the alias; None where there is none."""
        found = self.registry.find(self.name, self.alias)
        return None if found is None else found.version

    def move(self, number: str) -> None:
        """Move the alias to a version."""
        self.registry.set_alias(RegisteredModel(name=self.name, version=number, source=""), self.alias)

    def served(self, number: str, runtime: str) -> ServedVersion:
        """The version as a cluster can serve it.

        Raises:
            DataError: there is no such version, or its files lie where no pod can fetch them.
            TrackingError: nobody can be asked.
        """
        found = self.registry.get(self.name, number)
        if found is None:
            raise DataError(f"the registry has no version {number} of {self.name}; `visionthink register` makes one")
        if "://" not in found.source or found.source.startswith("runs:"):
            raise DataError(
                f"version {number} of {self.name} lies at {found.source}, where no pod can fetch it; register it with "
                "register_model.store=s3://BUCKET/PREFIX, or name its address with --uri"
            )
        return ServedVersion(name=f"v{number}", uri=found.source, runtime=runtime, number=number)


@dataclass(frozen=True, slots=True)
class NoRegistry:
    """Of versions that stand in no registry: there is no alias to move."""

    def current(self) -> str | None:
        """None: there is no alias."""
        return None

    def move(self, number: str) -> None:
        """Change nothing."""
