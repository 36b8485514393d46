"""The network: a small convolutional pyramid with one anchor-free head, written for eight-bit arithmetic.

Plain 3x3 and 1x1 convolutions with ReLU, no depthwise ones: those quantize badly and spare little time
at these widths. Features of strides 8, 16 and 32 meet at stride 8, where each cell answers for one box.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

STRIDE = 8
LARGEST = 4.0
"""Distances to a box's sides are stride * exp(x), x cut to +-LARGEST: from a seventh of a pixel to 436."""


def block(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions through half the channels, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(block(channels, channels // 2), block(channels // 2, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape (B, channels, H, W)."""
        return x + self.inner(x)


class FishNet(nn.Module):
    """Takes float (B, 3, H, W) in 0 to 255, sides multiples of 32; answers (B, 4 + 1, H/8, W/8).

    Channels: logarithms of the distances left, top, right, bottom in strides, then the score before its sigmoid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shallow = nn.Sequential(
            block(3, 16, stride=2), block(16, 32, stride=2), block(32, 64, stride=2), Residual(64)
        )
        self.middle = nn.Sequential(block(64, 96, stride=2), Residual(96), Residual(96))
        self.deep = nn.Sequential(block(96, 160, stride=2), Residual(160), Residual(160))
        self.from_deep = block(160, 48, size=1)
        self.from_middle = block(96, 48, size=1)
        self.join_middle = block(48, 48)
        self.from_shallow = block(64, 48, size=1)
        self.head = nn.Sequential(block(48, 48), block(48, 48))
        self.answer = nn.Conv2d(48, 5, 1)
        nn.init.normal_(self.answer.weight, std=0.01)
        with torch.no_grad():
            # Boxes of 64 pixels, and one cell in a hundred a fish.
            self.answer.bias.copy_(torch.tensor([1.4, 1.4, 1.4, 1.4, -4.6]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Answer for each cell of eight by eight pixels."""
        shallow = self.shallow(image * (1 / 64) - 2)
        middle = self.middle(shallow)
        deep = self.from_deep(self.deep(middle))
        middle = self.join_middle(self.from_middle(middle) + functional.interpolate(deep, scale_factor=2.0))
        joined = self.from_shallow(shallow) + functional.interpolate(middle, scale_factor=2.0)
        return self.answer(self.head(joined))


def cells(height: int, width: int) -> torch.Tensor:
    """Give the centres (x, y) of the cells of an input of that size, in pixels, (cells, 2), row by row."""
    ys, xs = torch.meshgrid(torch.arange(height // STRIDE), torch.arange(width // STRIDE), indexing="ij")
    return (torch.stack([xs, ys], dim=-1).reshape(-1, 2).float() + 0.5) * STRIDE


def boxes(answer: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Decode (B, cells, >= 4) into corners left, top, right, bottom in pixels."""
    distances = answer[..., :4].clamp(-LARGEST, LARGEST).exp() * STRIDE
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1)


class Contract(nn.Module):
    """The network as `ModelSpec` asks for it: uint8 NHWC in, rows of box and probability out."""

    def __init__(self, network: FishNet, height: int, width: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("centres", cells(height, width))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Answer (1, cells, 5): centre x, centre y, width, height in pixels, probability."""
        answer = self.network(image.permute(0, 3, 1, 2).float()).flatten(2).transpose(1, 2)
        distances = answer[..., :4].clamp(-LARGEST, LARGEST).exp() * STRIDE
        near, far = distances[..., :2], distances[..., 2:]
        return torch.cat([self.centres + (far - near) / 2, near + far, answer[..., 4:].sigmoid()], dim=-1)
