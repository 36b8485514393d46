"""The command: read frames, train, export, quantize, measure, write the model's folder."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import torch

from models.training import frames as labelled
from models.training.export import export, quantize
from models.training.learn import Course, train
from models.training.scenes import Scenes
from models.training.score import Score, best_threshold, score
from models.values import ModelSpec

log = logging.getLogger("tidegate.training")
COURSE = Course()


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    parser.add_argument("--frames", type=Path, required=True, help="folder with images/ and labels/ (YOLO text)")
    parser.add_argument("--out", type=Path, default=Path("build/fish"), help="folder to write; default %(default)s")
    parser.add_argument("--version", default="1", help="version of the model; default %(default)s")
    parser.add_argument("--steps", type=int, default=COURSE.steps, help="training steps; default %(default)s")
    parser.add_argument("--seed", type=int, default=COURSE.seed)
    parser.add_argument("--threads", type=int, default=1, help="threads; another number gives other weights")
    parser.add_argument(
        "--with-validation",
        type=float,
        metavar="THRESHOLD",
        help="train on the validation clips too, with this score threshold",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(mode=True)
    options.out.mkdir(parents=True, exist_ok=True)

    everything = labelled.read(options.frames)
    held = {*labelled.TEST_CLIPS}
    if options.with_validation is None:
        held |= {*labelled.VALIDATION_CLIPS}
    taught = [frame for frame in everything if frame.clip not in held]
    course = replace(COURSE, steps=options.steps, seed=options.seed)
    log.info("training on %d frames of %s", len(taught), sorted({frame.clip for frame in taught}))
    scenes = Scenes(taught, options.seed, course.input_height, course.input_width)
    network = train(scenes, course)
    torch.save(network.state_dict(), options.out / "weights.pt")

    full, small = options.out / "model.fp32.onnx", options.out / "model.onnx"
    export(network, full, course.input_height, course.input_width)
    quantize(full, small, taught[:: max(1, len(taught) // 120)], course.input_height, course.input_width)
    spec = ModelSpec(
        name="fish",
        version=options.version,
        task="detection",
        digest=hashlib.sha256(small.read_bytes()).hexdigest(),
        classes=("fish",),
        input_height=course.input_height,
        input_width=course.input_width,
        score_threshold=options.with_validation or 0.3,
        iou_threshold=0.5,
    )
    if options.with_validation is None:
        validation = [frame for frame in everything if frame.clip in labelled.VALIDATION_CLIPS]
        spec = replace(spec, score_threshold=best_threshold(small, spec, validation))
    (options.out / "model.json").write_text(json.dumps({**asdict(spec), "file": small.name}, indent=2) + "\n")

    figures: dict[str, dict[str, Score]] = {}
    for clip in [*labelled.VALIDATION_CLIPS, *labelled.TEST_CLIPS]:
        if clip in held:
            shown = [frame for frame in everything if frame.clip == clip]
            figures[clip] = {"fp32": score(full, spec, shown), "int8": score(small, spec, shown)}
    shown = [frame for frame in everything if frame.clip in labelled.TEST_CLIPS]
    figures["all test clips"] = {"fp32": score(full, spec, shown), "int8": score(small, spec, shown)}
    lines = {name: {kind: asdict(figure) for kind, figure in pair.items()} for name, pair in figures.items()}
    (options.out / "figures.json").write_text(json.dumps(lines, indent=2) + "\n")
    log.info("score threshold %.2f, %d bytes", spec.score_threshold, small.stat().st_size)
    for name, pair in figures.items():
        for kind, figure in pair.items():
            log.info(
                "%-28s %s  mAP@0.5 %.3f  precision %.2f  recall %.2f  false/frame %.2f",
                *(name, kind, figure.average_precision, figure.precision, figure.recall, figure.false_per_frame),
            )


if __name__ == "__main__":
    main()
