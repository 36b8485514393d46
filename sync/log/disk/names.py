"""What is known of the log without its file: a small file beside it, of plain JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sync.disk import sync_folder, write_file

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".names"
"""What its name has after the log's."""


@dataclass(slots=True)
class Names:
    """What must outlive a damaged file, in a small file beside it: written anew after a commit that changes it.

    `streams` maps a stream's id to lane and topic, `partitions` a topic to its partition, `cursors` what the
    log keeps for others.
    """

    log_id: str = ""
    run: int = 0
    streams: dict[int, tuple[str, str]] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def read(path: Path) -> Names:
        """What the file says; empty where it is missing or says nothing readable."""
        try:
            found: Any = json.loads(path.read_bytes())
            return Names(
                str(found["log_id"]),
                int(found["run"]),
                {int(number): (str(lane), str(topic)) for number, (lane, topic) in found["streams"].items()},
                {str(topic): int(partition) for topic, partition in found["partitions"].items()},
                {str(name): int(value) for name, value in found["cursors"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Names()

    def write(self, path: Path) -> None:
        """Replace the file as a whole.

        Raises:
            OSError: the disk did not take it.
        """
        fresh = path.with_name(path.name + ".new")
        content = json.dumps(
            {
                "log_id": self.log_id,
                "run": self.run,
                "streams": {str(number): list(stream) for number, stream in self.streams.items()},
                "partitions": self.partitions,
                "cursors": self.cursors,
            },
            indent=1,
        )
        write_file(fresh, content.encode())
        fresh.replace(path)
        sync_folder(path.parent)
