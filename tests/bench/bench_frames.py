"""What a frame costs beyond the bare model, and what the children weigh: `python -m tests.bench.bench_frames MODEL`.

Every round asks, one after the other about the same 960x540 image: the bare session in this process, the backend
in this process (fitting and decoding on top), and the model host (its process and shared memory on top). What a
frame costs beyond its model is the host's whole answer less the session's run inside it; the bare session beside
it shows that this run is no slower there than here. Medians; `least` is the tenth percentile, which a busy
machine disturbs less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import os
import statistics
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from drivers.camera import CameraDriver, CameraSettings
from models.host import ModelHost
from models.spec import read

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "tests" / "data" / "video" / "9870_Gerres.mp4"
FISH = ROOT / "models" / "zoo" / "fish" / "1"
_MIB = 1024


@dataclass(frozen=True, slots=True)
class FrameCost:
    """Milliseconds a frame; `share` is `beyond_ms` over `session_ms`, the session's run in the host."""

    bare_ms: float
    session_ms: float
    in_process_ms: float
    hosted_ms: float
    beyond_ms: float
    beyond_least_ms: float
    share: float
    detections: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Weight:
    """PSS in MiB of capture and model host, with a camera at 5 frames/s; and of the host without a model."""

    capture_mib: float
    host_mib: float
    host_empty_mib: float
    host_unloaded_mib: float
    frames: int


def frame_cost(folder: Path = FISH, clip: Path = CLIP, rounds: int = 300, threads: int = 1) -> FrameCost:
    """Ask bare session, backend and host by turns."""
    # Here, so that this process shares none of their pages while the children are weighed.
    from models.detector import Letterbox  # noqa: PLC0415
    from models.onnx import OnnxBackend, open_session  # noqa: PLC0415

    spec, content = read(folder)
    session = open_session(content, threads)
    backend = OnnxBackend(folder, threads)
    letterbox = Letterbox(spec.input_height, spec.input_width)
    images = _images(clip, 16)
    height, width = images[0].shape[:2]
    fd = os.memfd_create("bench")
    os.ftruncate(fd, images[0].nbytes)
    bare, session_ms, inside, hosted, beyond, found = [], [], [], [], [], 0
    host = ModelHost()
    with mmap.mmap(fd, 0) as memory:
        try:
            remote = host.load("fish", folder, threads)
            for turn in range(-10, rounds):
                image = images[turn % len(images)]
                memory[:] = image.tobytes()
                array, _ = letterbox.fit(image)
                times = [time.perf_counter()]
                session.run(["detections"], {"image": array})
                times.append(time.perf_counter())
                backend.predict([image])
                times.append(time.perf_counter())
                seen = remote.predict_shared(fd, 0, height, width)
                times.append(time.perf_counter())
                if turn >= 0:
                    taken = [(after - before) * 1e3 for before, after in pairwise(times)]
                    for times_ms, one in zip((bare, inside, hosted), taken, strict=True):
                        times_ms.append(one)
                    session_ms.append(seen.inference_s * 1e3)
                    beyond.append(taken[2] - session_ms[-1])
                    found += len(seen.detections)
        finally:
            host.close()
            os.close(fd)
    middle = statistics.median
    return FrameCost(
        bare_ms=middle(bare),
        session_ms=middle(session_ms),
        in_process_ms=middle(inside),
        hosted_ms=middle(hosted),
        beyond_ms=middle(beyond),
        beyond_least_ms=statistics.quantiles(beyond, n=10)[0],
        share=middle(beyond) / middle(session_ms),
        detections=found / rounds,
        rounds=rounds,
    )


async def weight(folder: Path = FISH, clip: Path = CLIP, seconds: float = 10.0) -> Weight:
    """Watch one camera with one model for a while, then weigh the processes."""
    camera = CameraDriver(CameraSettings("pen", str(clip), "t", "s", fps=5, loop=True))
    host = ModelHost()
    try:
        await asyncio.to_thread(host.start)
        empty = pss_mib(host.pid)
        model = await asyncio.to_thread(host.load, "fish", folder)
        frames = 0

        async def emit(batch) -> None:
            nonlocal frames
            (frame,) = batch
            image = frame.image
            await asyncio.to_thread(model.predict_shared, image.fd, image.offset, image.height, image.width)
            frame.release()
            frames += 1

        watching = asyncio.create_task(camera.run(emit))
        await asyncio.sleep(seconds)
        loaded, capture = pss_mib(host.pid), pss_mib(camera.capture_pid)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await asyncio.to_thread(model.close)
        return Weight(capture, loaded, empty, pss_mib(host.pid), frames)
    finally:
        host.close()


def pss_mib(pid: int) -> float:
    """The share of memory that a process must answer for."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return int(rollup.split("\nPss:")[1].split()[0]) / _MIB


def _images(clip: Path, count: int) -> list[Any]:
    import cv2  # noqa: PLC0415 - as above

    capture = cv2.VideoCapture(str(clip))
    images = [capture.read()[1] for _ in range(count)]
    capture.release()
    return images


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=FISH)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    heavy = asyncio.run(weight(options.model))
    cost = frame_cost(options.model, rounds=options.rounds, threads=options.threads)
    print(json.dumps({"weight": asdict(heavy), "frame": asdict(cost)}, indent=2))


if __name__ == "__main__":
    main()
