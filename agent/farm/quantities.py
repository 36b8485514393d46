"""What a channel measures, guessed from its name and its unit: a draft for people to look over, never a rule."""

from __future__ import annotations

import re
from typing import Final

_BY_NAME: Final = (
    (r"water_?temp|temp(erature)?|dew_?point|^t[cf]$|ds18b20", "temperature"),
    (r"dissolved_?oxygen|oxygen|^o2|^do(_|$|\d)|sauerstoff", "oxygen"),
    (r"^ph(_|$|\d)", "ph"),
    (r"^orp|redox", "orp"),
    (r"turb|tr(ü|ue)bung", "turbidity"),
    (r"conduct|^ec(_|$)|leitf", "conductivity"),
    (r"salin", "salinity"),
    (r"^tds", "tds"),
    (r"ammoni", "ammonia"),
    (r"nitrite|nitrit", "nitrite"),
    (r"nitrate|nitrat", "nitrate"),
    (r"co2|carbon_?dioxide", "co2"),
    (r"humid|^rh$", "humidity"),
    (r"pressure|druck", "pressure"),
    (r"level|f(ü|ue)llstand", "level"),
    (r"depth|tiefe", "depth"),
    (r"^flow|durchfluss", "flow"),
    (r"illumin|^lux|light", "light"),
    (r"^bat|battery", "battery"),
)
_BY_UNIT: Final = {
    "degC": "temperature", "degF": "temperature", "pH": "ph", "NTU": "turbidity", "FNU": "turbidity",
    "uS/cm": "conductivity", "mS/cm": "conductivity", "PSU": "salinity", "hPa": "pressure", "kPa": "pressure",
}  # fmt: skip


def quantity_of(channel: str, unit: str | None) -> str:
    """The kind of sensor that a channel seems to be, or empty. The last level of its name says most."""
    for level in reversed(re.split(r"[./:]", channel.lower())):
        word = re.sub(r"[^\wäöü]+", "_", level).strip("_")
        for pattern, kind in _BY_NAME:
            if word and re.search(pattern, word):
                return kind
    return _BY_UNIT.get(unit or "", "")
