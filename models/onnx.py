"""Models in ONNX files, run by onnxruntime on the CPU. Imported only in the model host's process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from models.detector import Letterbox, decode
from models.spec import read
from models.values import Misconfigured, NotReady, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from models.values import ModelSpec

_MOST_ROWS = 1_000_000
_MOST_SAID = 1_500
"""Characters of onnxruntime's own words. A cause has a few hundred; more comes only from names in a strange file."""
_HINT = "export it with the ends that ModelSpec describes: image in, detections out"


def open_session(content: bytes, threads: int) -> ort.InferenceSession:
    """Make a session as this backend runs it: on the CPU, on so many threads, waiting without spinning.

    Raises whatever onnxruntime raises for a file that it does not understand.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # Between two frames there is time to sleep; spinning would burn a core that sensors need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class OnnxBackend:
    """A detector from a model's folder (models.values.InferenceBackend), verified and warmed up.

    Raises (from the constructor):
        Misconfigured: the folder is not what it should be (models.spec), onnxruntime cannot run the file, or
            its graph is no detector as `ModelSpec` describes one.
    """

    def __init__(self, folder: Path, threads: int = 1, score_threshold: float | None = None) -> None:
        self._spec, content = read(folder, score_threshold)
        try:
            session = open_session(content, threads)
        except Exception as error:  # noqa: BLE001 - onnxruntime raises a dozen types of its own, all without a base
            hint = f"onnxruntime {ort.__version__} is installed: export the model for it, or install a newer one"
            reason = f"onnxruntime cannot load the model: {_said(error)}"
            raise Misconfigured(reason, field="path", hint=hint) from None
        self._session: ort.InferenceSession | None = session
        _check(session, self._spec)
        self._letterbox = Letterbox(self._spec.input_height, self._spec.input_width)
        self._warm_up()

    @property
    def spec(self) -> ModelSpec:
        """What `model.json` says and the digest proved."""
        return self._spec

    def predict(self, batch: Sequence[npt.NDArray[np.uint8]]) -> list[Prediction]:
        """Look at images one by one: a gateway's cameras seldom agree on a moment.

        Raises:
            ValueError: an array is no BGR uint8 image.
            NotReady: the backend was closed, or this run failed (no memory, say).
        """
        return [self._look(image) for image in batch]

    def close(self) -> None:
        """Give session and arena back."""
        self._session = None

    def _look(self, image: npt.NDArray[np.uint8]) -> Prediction:
        started = time.perf_counter()
        array, placement = self._letterbox.fit(image)
        fitted = time.perf_counter()
        rows = self._run(array)
        inferred = time.perf_counter()
        detections = decode(rows, placement, self._spec)
        spec = self._spec
        total_s = time.perf_counter() - started
        return Prediction(spec.name, spec.version, spec.digest, detections, inferred - fitted, total_s)

    def _run(self, array: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if self._session is None:
            raise NotReady("the model was closed")
        try:
            rows: npt.NDArray[np.float32] = self._session.run(["detections"], {"image": array})[0]
        except Exception as error:  # noqa: BLE001 - onnxruntime's own types have no base
            raise NotReady(f"the model failed on an image: {_said(error)}") from None
        return rows

    def _warm_up(self) -> None:
        """Run once: the first run allocates, and shows the true shape where the graph left it open."""
        spec = self._spec
        blank = np.full((1, spec.input_height, spec.input_width, 3), 114, np.uint8)
        try:
            rows = self._run(blank)
        except NotReady as error:
            raise Misconfigured(error.reason, field="path", hint=_HINT) from None
        wanted = 4 + len(spec.classes)
        if rows.ndim != 3 or rows.shape[0] != 1 or rows.shape[2] != wanted or rows.shape[1] > _MOST_ROWS:
            raise _refused(f"it answers {_shown(rows.shape)}, not (1, n, {wanted}) for {len(spec.classes)} classes")


def _said(error: Exception) -> str:
    """What onnxruntime says, in one line: its cause comes last, behind the place in its own source."""
    return " ".join(str(error).split())[:_MOST_SAID] or type(error).__name__


def _check(session: ort.InferenceSession, spec: ModelSpec) -> None:
    """Hold the graph's ends against the contract, before anything runs."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    wanted_in = (1, spec.input_height, spec.input_width, 3)
    wanted_out = (1, "n", 4 + len(spec.classes))
    if len(inputs) != 1 or len(outputs) != 1:
        raise _refused(f"it has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
    wrong = []
    for node, name, kind, wanted in (
        (inputs[0], "image", "tensor(uint8)", wanted_in),
        (outputs[0], "detections", "tensor(float)", wanted_out),
    ):
        shape = tuple(node.shape)
        fits = len(shape) == len(wanted) and all(map(_agree, shape, wanted))
        if node.name != name or node.type != kind or not fits:
            it_has = f"{node.name[:40]}: {node.type} {_shown(shape)}"
            wrong.append(f"{it_has} where a detector has {name}: {kind} {_shown(wanted)}")
    if wrong:
        raise _refused("it has " + ", and ".join(wrong))


def _agree(has: Any, wanted: object) -> bool:
    """A dimension left open in the graph is judged by the first run."""
    return not isinstance(has, int) or not isinstance(wanted, int) or has == wanted


def _shown(shape: Sequence[Any]) -> str:
    return "(" + ", ".join("?" if side is None else str(side)[:20] for side in shape) + ")"


def _refused(what: str) -> Misconfigured:
    return Misconfigured(f"this agent cannot use the file as a detector: {what}", field="path", hint=_HINT)
