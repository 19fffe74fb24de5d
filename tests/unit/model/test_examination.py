"""The examination asks every family under every policy and counts what came of it."""

from tests.unit.engines.tiny_model import tiny_model, tiny_processor

from visionthink.datasets.world import FAMILIES
from visionthink.model.examination import examine
from visionthink.model.folder import LoadedModel

NUM_SAMPLES = 20


def test_a_model_that_has_learned_nothing_fails_in_every_family_and_is_counted() -> None:
    found = examine(LoadedModel(tiny_model(), tiny_processor()), seed=0, num_samples=NUM_SAMPLES)
    assert set(found) == {"always_low", "always_high", "auto"}
    for families in found.values():
        assert set(families) == set(FAMILIES)
        assert sum(row["num_samples"] for row in families.values()) == NUM_SAMPLES
        assert all(row["accuracy"] == 0 and row["resize_rate"] == 0 for row in families.values())
