"""What the farm's part is told, as the hub fills it from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

    from agent.farm.stock.lice import LiceLimit
    from agent.farm.water.score import Objective


@dataclass(frozen=True, slots=True)
class ScoreVariable:
    """A sensor, or a derived quantity, that the water-quality score of a tank is made of."""

    sensor_id: str
    objective: Objective


@dataclass(frozen=True, slots=True)
class TankSettings:
    """One tank. `species` counts until a stocking names it; `temperature` is the sensor for degree days, or empty."""

    tank_id: str
    species: str = ""
    temperature: str = ""
    variables: tuple[ScoreVariable, ...] = ()

    @property
    def sensors(self) -> tuple[str, ...]:
        """The sensors whose hours are kept."""
        named = [
            *(variable.sensor_id for variable in self.variables),
            *([self.temperature] if self.temperature else ()),
        ]
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class FarmSettings:
    """The farm section. Days are those of `zone`. Of the alerts, None is none."""

    site_id: str
    zone: tzinfo = UTC
    tanks: tuple[TankSettings, ...] = ()
    lice_limits: tuple[LiceLimit, ...] = ()
    mortality_alert_percent: float | None = 5.0
    mortality_alert_times: float | None = 5.0
    score_alert: float | None = 80.0
