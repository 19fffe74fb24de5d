"""Settings of the first-look shortcut.

Rule: what it costs to look is measured where the model is served, never assumed; without a measurement the views' own
sizes speak.
"""

from typing import Annotated

from pydantic import model_validator

from visionthink.config.data import Positive, Share
from visionthink.config.section import OPERATIONAL, Section
from visionthink.core.first_look import CallForecast, FirstLookMode, FirstLookRule, LookCosts


class FirstLookConfig(Section):
    """The shortcut past the quarter view where a call is likely; see `visionthink.core.first_look`."""

    mode: Annotated[FirstLookMode, OPERATIONAL] = "off"
    """Of served requests that do not say, under the policy `auto`: `off` begins with the quarter view, `auto` with the
    full one where the model's forecast makes that the cheaper beginning, `full` always with it."""
    first_turn_s: Positive | None = None
    """Mean seconds of a turn on the quarter view in this deployment, as `serve/look_s` tells. With the next two it
    gives the threshold; None, and each picture's visual tokens do."""
    further_turn_s: Positive | None = None
    """The same of a turn on a view that the model asked for."""
    full_turn_s: Positive | None = None
    """The same of the only turn of an episode that begins with the full view."""
    threshold: Share | None = None
    """Probability of a call above which an episode begins with the full view; None: as the costs give it."""
    evaluated: bool = True
    """Whether an evaluation asks the judged model with the shortcut too, as the contender `first_look`, where the model
    has a forecast."""

    def rule(self, forecast: CallForecast | None = None) -> FirstLookRule:
        """The core's own record, with the forecast of the model that is asked."""
        return FirstLookRule(forecast=forecast, costs=self._costs(), threshold=self.threshold)

    def _costs(self) -> LookCosts | None:
        match (self.first_turn_s, self.further_turn_s, self.full_turn_s):
            case (float() as first, float() as further, float() as full):
                return LookCosts(first=first, further=further, full=full)
            case _:
                return None

    @model_validator(mode="after")
    def _costs_are_whole(self) -> "FirstLookConfig":
        given = [cost is not None for cost in (self.first_turn_s, self.further_turn_s, self.full_turn_s)]
        if any(given) and not all(given):
            raise ValueError("first_turn_s, further_turn_s and full_turn_s go together; give all three, or none")
        return self
