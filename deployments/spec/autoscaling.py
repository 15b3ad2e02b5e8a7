"""``autoscaler`` of the service document, in both of EAS's spellings (eas.md §3.7)."""

from __future__ import annotations

from django.utils.translation import gettext_noop
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from deployments.spec.parts import Number, Part, Whole

#: What Kubernetes measures by itself. Other metrics (``qps``, ``gpu``, queues) are kept, and nothing scales by them.
METRICS = ("cpu", "memory")
#: EAS's default: growing at once, shrinking after five minutes without need.
SCALE_DOWN_SECONDS = 300


class ScaleStrategy(Part):
    """One metric, and how much of it one instance may have."""

    metric_name: str = Field("", alias="metricName", description=gettext_noop("the name of a metric"))
    threshold: Number | None = Field(None, gt=0, description=gettext_noop("a number over 0"))


class Window(Part):
    stabilization_window_seconds: Whole | None = Field(
        None, ge=0, le=3600, alias="stabilizationWindowSeconds", description=gettext_noop("seconds, from 0 to 3600")
    )


class Behavior(Part):
    """How quickly the number of instances follows."""

    scale_up: Window = Field(Window(), alias="scaleUp", description=gettext_noop("an object"))
    scale_down: Window = Field(Window(), alias="scaleDown", description=gettext_noop("an object"))


class Autoscaler(Part):
    min: Whole = Field(1, ge=0, le=1000, description=gettext_noop("a whole number from 0 to 1000"))
    max: Whole | None = Field(None, ge=1, le=1000, description=gettext_noop("a whole number from 1 to 1000"))
    strategies: dict[str, Number] = Field({}, description=gettext_noop("an object of metrics and numbers"))
    scale_strategies: list[ScaleStrategy] = Field(
        [], alias="scaleStrategies", max_length=32, description=gettext_noop("a list of metrics and thresholds")
    )
    behavior: Behavior = Field(Behavior(), description=gettext_noop("an object"))

    @model_validator(mode="after")
    def check_bounds(self) -> Autoscaler:
        if self.max is not None and self.max < self.min:
            raise PydanticCustomError("autoscaler_bounds", "max below min")
        return self

    @property
    def thresholds(self) -> dict[str, float]:
        """Metric to threshold, over both spellings; of one given twice the longer spelling counts."""
        named = {one.metric_name: one.threshold for one in self.scale_strategies if one.threshold is not None}
        return {**self.strategies, **named}

    @property
    def working(self) -> dict[str, float]:
        """Those thresholds that something here measures."""
        return {name: value for name, value in self.thresholds.items() if name in METRICS}
