"""What keys may hold, and what every section shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a text must be written, and what to say of one that is not."""

    pattern: str
    message: str
    hint: str = ""


_PORT: Final = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
NAME: Final = Spelling(
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
    "must be a name: up to 63 letters, digits and . _ -, first a letter or digit",
)
HOST: Final = Spelling(
    r"^[A-Za-z0-9_.:\[\]%-]{1,253}$", "must be a host name or an address", "the port has a key of its own"
)
"""What may be in a host. Whether it makes one, look_at_wiring says."""
BROKER: Final = Spelling(
    rf"^(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]{{1,253}}):{_PORT}$",
    "must be host:port",
    "such as kafka.example:9092; ports end at 65535",
)
TOPIC: Final = Spelling(r"^[A-Za-z0-9._-]{1,249}$", "must be a topic name of Kafka: letters, digits and . _ -")
LABEL: Final = Spelling(
    r"^[^/+#.$\x00-\x20\x7f]([^/+#\x00-\x1f\x7f]{0,62}[^/+#\x00-\x20\x7f])?$",
    "must be a name: up to 64 characters without / + #, first no dot, $ or space, last no space",
)
SPELLINGS: Final = (NAME, HOST, BROKER, TOPIC, LABEL)

Name = Annotated[str, Field(pattern=NAME.pattern)]
"""Names become topic levels, metric labels and file names."""

Label = Annotated[str, Field(pattern=LABEL.pattern)]
"""Names of sensors and tanks, which may have spaces and umlauts: what one level of a topic can be."""


def _against_folder(path: Path, info: ValidationInfo) -> Path:
    """Relative paths count from the document's folder, which the loader passes as context."""
    place = info.context.get("place") if isinstance(info.context, dict) else None
    return place(path) if place is not None else path


def _split(value: Any) -> Any:
    """A list may be one text with commas, so that one environment variable can name several brokers."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def whole(value: Any) -> Any:
    """Documents hold text; a choice among numbers wants the number."""
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 9 else value


def as_text(value: Any) -> Any:
    """A value given by a program as a number where text is wanted (`version: 5`)."""
    return str(value) if type(value) in (int, float) else value


def _source(text: str, info: ValidationInfo) -> str:
    """A video file counts from the document's folder, too; addresses and devices stay."""
    is_file = "://" not in text and not text.isdecimal()
    return str(_against_folder(Path(text), info)) if is_file else text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("this machine knows no such time zone; write UTC, or a name such as Europe/Oslo") from None
    return text


FilePath = Annotated[Path, AfterValidator(_against_folder)]
Host = Annotated[str, Field(pattern=HOST.pattern)]
Broker = Annotated[str, Field(pattern=BROKER.pattern)]
Brokers = Annotated[list[Broker], BeforeValidator(_split)]
Topic = Annotated[str, Field(pattern=TOPIC.pattern)]
Text = Annotated[str, BeforeValidator(as_text), Field(min_length=1, max_length=1024)]
TextList = Annotated[list[Text], BeforeValidator(_split)]
Zone = Annotated[Text, AfterValidator(_zone)]
Source = Annotated[Text, AfterValidator(_source)]


class Section(BaseModel):
    """What every section shares: no unknown keys, no changes after loading, a key without a value is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _not_set(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        fields = cls.model_fields
        return {key: value for key, value in data.items() if value is not None or _wanted(fields.get(key))}


def _wanted(field: Any) -> bool:
    """Whether leaving the key's value out is an error: the key is unknown, or has no default."""
    return field is None or bool(field.is_required())
