"""Derived quantities: which inputs each kind needs, and its value from the newest of them (G1, G2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from agent.farm.figure import Figure, Formula, Input, NoValue
from agent.farm.units import Unconvertible, in_standard_unit
from agent.farm.water import ammonia, oxygen, salinity, swing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.farm.water.swing import History

DerivedKind = Literal["oxygen_saturation", "oxygen_deficit", "salinity", "nh3_n", "nh3", "rate", "swing"]


class Newest:
    """The newest value of one sensor, in the standard unit of its quantity; `minute` counts since 1970."""

    __slots__ = ("at_s", "history", "note", "unit", "value")

    def __init__(self, history: History | None = None) -> None:
        self.value = 0.0
        self.unit = ""
        self.at_s: float | None = None
        self.note = ""
        self.history = history


@dataclass(frozen=True, slots=True)
class DerivedSettings:
    """One derived quantity.

    `sensors` names the sensor of each input, `fixed` the value of those that are the same always (a salinity, an air
    pressure). No sensor's value older than `max_age_s` is used. It is computed every `every_s`.
    """

    id: str
    kind: DerivedKind
    tank_id: str
    sensors: Mapping[str, str]
    fixed: Mapping[str, float]
    max_age_s: float = 600.0
    every_s: float = 60.0


@dataclass(frozen=True, slots=True)
class _Recipe:
    unit: str
    formula: Formula
    inputs: tuple[str, ...]
    make: Callable[..., float]
    notes: Callable[[Mapping[str, float]], tuple[str, ...]] = lambda _: ()


_RECIPES: Final[dict[str, _Recipe]] = {
    "oxygen_saturation": _Recipe(
        "%", oxygen.SATURATION, ("oxygen", "temperature", "salinity", "pressure"), oxygen.saturation
    ),
    "oxygen_deficit": _Recipe(
        "mg/L", oxygen.DEFICIT, ("oxygen", "temperature", "salinity", "pressure"), oxygen.deficit
    ),
    "salinity": _Recipe("PSU", salinity.SALINITY, ("conductivity", "temperature"), salinity.practical_salinity),
    "nh3_n": _Recipe(
        "mg/L",
        ammonia.NH3_N,
        ("tan", "temperature", "ph", "salinity"),
        ammonia.nh3_n,
        lambda given: ammonia.notes(given["temperature"], given["salinity"]),
    ),
    "nh3": _Recipe(
        "mg/L",
        ammonia.NH3,
        ("tan", "temperature", "ph", "salinity"),
        ammonia.nh3,
        lambda given: ammonia.notes(given["temperature"], given["salinity"]),
    ),
}
_OVER_TIME: Final = {"rate": swing.RATE, "swing": swing.SWING}
INPUTS: Final[dict[str, tuple[str, ...]]] = {
    **{kind: recipe.inputs for kind, recipe in _RECIPES.items()},
    **dict.fromkeys(_OVER_TIME, ("of",)),
}
"""What each kind needs; an input has the name of its quantity, and `of` is any sensor."""
STANDARD: Final = {
    "oxygen": "mg/L",
    "temperature": "degC",
    "salinity": "PSU",
    "pressure": "hPa",
    "conductivity": "mS/cm",
    "tan": "mg/L",
    "ph": "pH",
}


def derive(settings: DerivedSettings, newest: Mapping[str, Newest], now_s: float) -> Figure:
    """One derived quantity as of now (s since 1970): a value, or the reason why there is none."""
    inputs: list[Input] = []
    missing: list[str] = []
    notes: list[str] = []
    for name in INPUTS[settings.kind]:
        if name in settings.fixed:
            inputs.append(Input(name, settings.fixed[name], STANDARD.get(name, ""), "config"))
            continue
        found, why, note = _input(name, settings, newest, now_s)
        inputs.append(found)
        missing += [why] if why else []
        notes += [note] if note else []
    recipe = _RECIPES.get(settings.kind)
    formula = recipe.formula if recipe is not None else _OVER_TIME[settings.kind]
    unit = recipe.unit if recipe is not None else inputs[0].unit + ("/h" if settings.kind == "rate" else "")
    if missing:
        return Figure(settings.id, None, unit, formula, tuple(inputs), "; ".join(missing))
    given = {one.name: one.value for one in inputs if one.value is not None}
    try:
        if recipe is not None:
            value = recipe.make(*(given[name] for name in recipe.inputs))
            notes += recipe.notes(given)
        else:
            value = _over_time(settings, newest, now_s)
    except NoValue as why_not:
        return Figure(settings.id, None, unit, formula, tuple(inputs), str(why_not))
    return Figure(settings.id, value, unit, formula, tuple(inputs), notes=tuple(notes))


def _input(
    name: str, settings: DerivedSettings, newest: Mapping[str, Newest], now_s: float
) -> tuple[Input, str, str]:
    """An input from its sensor; why it cannot be used, if so; and what is to be noted of it."""
    sensor_id = settings.sensors[name]
    known = newest.get(sensor_id)
    unit = STANDARD.get(name, "")
    if known is None or known.at_s is None:
        return Input(name, None, unit, sensor_id), f"{sensor_id} has sent nothing since the start", ""
    # A clock that was set back must not make a value of the past one of the future.
    age_s = max(0.0, now_s - known.at_s)
    value, own = known.value, known.unit
    try:
        value, own = (value, own) if name == "of" else in_standard_unit(name, value, own)
    except Unconvertible as why:
        return Input(name, None, unit, sensor_id, age_s), f"{sensor_id}: {why}", ""
    if age_s > settings.max_age_s:
        why_old = f"{sensor_id} was last measured {age_s:.0f} s ago, and may be {settings.max_age_s:.0f} s old"
        return Input(name, value, own, sensor_id, age_s), why_old, ""
    return Input(name, value, own, sensor_id, age_s), "", known.note


def _over_time(settings: DerivedSettings, newest: Mapping[str, Newest], now_s: float) -> float:
    history = newest[settings.sensors["of"]].history
    if history is None:
        raise NoValue("no history is kept of this sensor")
    minute = int(now_s // 60)
    return history.rate_per_hour(minute) if settings.kind == "rate" else history.swing(minute)
