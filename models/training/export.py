"""From a trained network to a file that onnxruntime runs: exported in 32 bits, then quantized to eight."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.detector import Letterbox
from models.training.network import Contract, FishNet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from models.training.frames import Labelled

OPSET = 17


def export(network: FishNet, path: Path, height: int, width: int) -> None:
    """Write the network, batch normalisation folded in, with the input and output that `ModelSpec` describes."""
    contract = Contract(network, height, width).eval()
    example = torch.zeros((1, height, width, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        # The tracing exporter is the older of two; the newer wants another package, and a graph
        # without branches gains nothing from it.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            contract,
            (example,),
            str(path),
            input_names=["image"],
            output_names=["detections"],
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(str(path))


class Calibration(CalibrationDataReader):
    """Feeds images, fitted as in use, to the measurement of each layer's range."""

    def __init__(self, images: Sequence[npt.NDArray[np.uint8]], height: int, width: int) -> None:
        letterbox = Letterbox(height, width)
        self._feeds: Iterator[dict[str, Any]] = iter([{"image": letterbox.fit(image)[0].copy()} for image in images])

    def get_next(self) -> dict[str, Any] | None:
        """Give the next input, None at the end."""
        return next(self._feeds, None)


def quantize(source: Path, target: Path, frames: Sequence[Labelled], height: int, width: int) -> None:
    """Write the eight-bit model: weights signed, a scale a channel; activations unsigned, ranges from `frames`.

    The last convolution and the decoding after it stay in 32 bits: they cost next to nothing, and boxes
    need the digits.
    """
    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    nodes = onnx.load(str(prepared)).graph.node
    quantized = ("Conv", "Add", "Resize", "Relu")
    last = [node.name for node in nodes if node.op_type == "Conv"][-1]
    after = [node.name for node in nodes][[node.name for node in nodes].index(last) :]
    try:
        quantize_static(
            str(prepared),
            str(target),
            Calibration([frame.image for frame in frames], height, width),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(quantized),
            nodes_to_exclude=after,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    finally:
        prepared.unlink(missing_ok=True)
