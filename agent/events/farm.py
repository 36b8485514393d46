"""What people and devices on the farm report: stocking, feeding, mortality, harvest, counts, calibrations.

The same document comes over MQTT, over HTTP and from a file, and goes upstream as it was recorded.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$")]
_Place = Annotated[str, Field(min_length=1, max_length=64)]
_Count = Annotated[int, Field(gt=0, le=100_000_000)]
_Grams = Annotated[FiniteFloat, Field(gt=0, le=1_000_000)]
_Text = Annotated[str, Field(max_length=500)]

Kind = Literal[
    "stocking",
    "feeding",
    "mortality",
    "removal",
    "harvest",
    "transfer",
    "fish_count",
    "weighing",
    "lice_count",
    "calibration",
    "close",
    "void",
]

NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "stocking": ("count", "species"),
    "feeding": ("kg",),
    "mortality": ("count",),
    "removal": ("count", "cause"),
    "harvest": ("count",),
    "transfer": ("count", "to_tank"),
    "fish_count": ("count",),
    "weighing": ("mean_weight_g",),
    "lice_count": ("fish", "adult_females"),
    "calibration": ("sensor_id", "by"),
    "close": (),
    "void": ("voids",),
}
"""What each kind must say, beside `id`, `kind`, `at` and, but for calibrations and voids, `tank_id`."""
MAY: Final[dict[str, tuple[str, ...]]] = {
    "stocking": ("mean_weight_g",),
    "mortality": ("mean_weight_g", "cause"),
    "removal": ("mean_weight_g",),
    "harvest": ("kg", "mean_weight_g"),
    "transfer": ("kg", "mean_weight_g"),
    "calibration": ("points", "coefficients", "valid_days"),
}
_ALWAYS: Final = {"id", "kind", "at", "tank_id", "by", "note", "corrects"}
_NO_TANK: Final = {"calibration", "void"}


class FarmEvent(BaseModel):
    """What happened to fish or to a probe (topic `farm-figures`, `ce_type` `….event`); counts once, by `id`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Id = Field(description="Made by the one who reports it; the same id again is the same event")
    kind: Kind
    at: AwareDatetime = Field(description="When it happened, with its zone")
    tank_id: _Place | None = None
    count: _Count | None = Field(default=None, description="Fish")
    kg: Annotated[FiniteFloat, Field(gt=0, le=10_000_000)] | None = Field(
        default=None, description="Of feed, or of the fish that were taken out"
    )
    mean_weight_g: _Grams | None = Field(default=None, description="Of one of these fish")
    species: _Place | None = None
    cause: _Place | None = Field(default=None, description="Of a removal: cull, escape or another word")
    to_tank: _Place | None = None
    fish: _Count | None = Field(default=None, description="How many fish the lice were counted on")
    adult_females: Annotated[int, Field(ge=0, le=100_000_000)] | None = Field(
        default=None, description="Adult female lice on all of them"
    )
    sensor_id: _Place | None = None
    points: list[tuple[FiniteFloat, FiniteFloat]] | None = Field(
        default=None, description="Two points of a calibration, each the raw value and the true one"
    )
    coefficients: list[FiniteFloat] | None = Field(
        default=None, description="Of a polynomial calibration: c0, c1, …; calibrated = c0 + c1 raw + c2 raw² + …"
    )
    valid_days: Annotated[int, Field(gt=0, le=3660)] | None = Field(
        default=None, description="How long a calibration counts"
    )
    by: _Text | None = Field(default=None, description="Who did it")
    note: _Text | None = None
    corrects: _Id | None = Field(default=None, description="The event whose place this one takes")
    voids: _Id | None = Field(default=None, description="The event that did not happen")

    @model_validator(mode="after")
    def _complete(self) -> FarmEvent:
        given = {name for name in FarmEvent.model_fields if getattr(self, name) is not None}
        needed = {*NEEDS[self.kind], *(() if self.kind in _NO_TANK else ("tank_id",))}
        if lacking := sorted(needed - given):
            raise ValueError(f"a {self.kind} needs {', '.join(lacking)}")
        if others := sorted(given - needed - _ALWAYS - set(MAY.get(self.kind, ()))):
            raise ValueError(f"a {self.kind} has no {', '.join(others)}")
        if self.kind == "void" and self.corrects is not None:
            raise ValueError("a void corrects nothing; void the event and record another")
        if self.id in (self.corrects, self.voids):
            raise ValueError("an event cannot correct or void itself")
        if self.kind == "transfer" and self.to_tank == self.tank_id:
            raise ValueError("to_tank is the tank itself")
        return self

    def document(self) -> dict[str, Any]:
        """As it is kept and sent: only what was said, the time in UTC."""
        said = self.model_dump(mode="json", exclude_none=True)
        return said | {"at": self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}


class RecordedEvent(FarmEvent):
    """A farm event as it goes upstream."""

    site_id: str
    recorded_at: datetime = Field(description="When the gateway had it on its disk")


def farm_event(given: Any, now: datetime) -> FarmEvent:
    """An event from a parsed document.

    Raises:
        ValueError: it is none; the text says every problem, for a person.
    """
    if not isinstance(given, dict):
        raise ValueError("an event is a JSON object")  # noqa: TRY004 - what it is about is the document
    try:
        found = FarmEvent.model_validate(given)
    except ValidationError as fault:
        raise ValueError("; ".join(_say(error) for error in fault.errors(include_url=False))) from None
    if found.at < _EARLIEST:
        raise ValueError(f"at is before {_EARLIEST:%Y-%m-%d}: is the device's clock set?")
    ahead_s = (found.at - now).total_seconds()
    if ahead_s > _AHEAD_S:
        raise ValueError(f"at is {ahead_s:.0f} s in the future: plans are not recorded")
    return found


_AHEAD_S: Final = 300.0
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


def _say(error: Any) -> str:
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "timezone_aware":
        return f"{place} needs a zone, such as 2026-03-02T08:00:00Z"
    if error["type"] == "extra_forbidden":
        return f"there is no {place}"
    if error["type"] == "missing":
        return f"{place} is missing"
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {text[0].lower()}{text[1:]}" if place else text
