"""Where the daemon's CPU time goes: `python -m tests.bench.sampler OUT tidegate run …` runs it and samples itself.

A thread looks at all threads' stacks every few milliseconds and gives each stack the CPU time that its thread has
used since the last look, so that waiting costs nothing. Native code shows as the Python line that called it.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_EVERY_S = 0.003
_OURS = ("agent/", "drivers/", "models/", "sync/")
_ROOT = str(Path(__file__).parents[2]) + "/"


def _sample(out: Path) -> None:
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    used: dict[int, float] = {}
    me = threading.get_ident()

    def write() -> None:
        out.write_text(json.dumps({"own": own.most_common(40), "total": total.most_common(60)}))

    atexit.register(write)
    while True:
        time.sleep(_EVERY_S)
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident == me:
                continue
            try:
                now = time.clock_gettime(time.pthread_getcpuclockid(ident))
            except OSError:
                continue
            spent = now - used.get(ident, now)
            used[ident] = now
            if spent > 0:
                thread = names.get(ident, "?").split("-")[0].split("_")[0]
                places = _places(frame)
                if any("importlib" in place for place in places):
                    continue  # starting up is measured elsewhere
                own[f"{thread}: {places[0]}"] += spent  # type: ignore[assignment] - seconds are counted
                for place in dict.fromkeys(place for place in places if place.startswith(_OURS)):
                    total[f"{thread}: {place}"] += spent  # type: ignore[assignment] - the same


def _places(frame: FrameType | None) -> list[str]:
    found = []
    while frame is not None:
        code = frame.f_code
        file = code.co_filename.removeprefix(_ROOT)
        if "site-packages/" in file:
            file = file.rpartition("site-packages/")[2]
        elif file.startswith("/"):
            file = os.path.basename(file)  # noqa: PTH119 - called thousands of times a second
        found.append(f"{file}:{code.co_qualname}")
        frame = frame.f_back
    return found


def main() -> None:
    out, program, *arguments = sys.argv[1:]
    threading.Thread(target=_sample, args=(Path(out),), name="sampler", daemon=True).start()
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
