"""The training loop: so many steps over composed scenes, weights averaged on the way."""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.training.loss import detection_loss
from models.training.network import FishNet, cells

if TYPE_CHECKING:
    from models.training.scenes import Scenes

log = logging.getLogger("tidegate.training")


@dataclass(frozen=True, slots=True)
class Course:
    """How to train. The first `crops` of the steps see crops of two thirds the size, at two fifths of the cost."""

    steps: int = 3200
    batch: int = 8
    rate: float = 1.5e-3
    crops: float = 0.88
    input_height: int = 288
    input_width: int = 512
    seed: int = 1


def train(scenes: Scenes, course: Course) -> FishNet:
    """Train from random weights and give the averaged network, in evaluation mode.

    The same seed, threads and library versions give the same weights on the same machine.
    """
    torch.manual_seed(course.seed)
    network = FishNet().to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=course.rate, weight_decay=0.05)
    warm_up = min(100, course.steps // 10 + 1)
    crop_steps = int(course.steps * course.crops)
    started, losses = time.monotonic(), []
    for step in range(course.steps):
        progress = step / course.steps
        for group in optimizer.param_groups:
            group["lr"] = course.rate * min(
                (step + 1) / warm_up, 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2
            )
        height, width = course.input_height, course.input_width
        if step < crop_steps:
            height, width = round(height / 48) * 32, round(width / 48) * 32
        drawn = [scenes.draw(height, width) for _ in range(course.batch)]
        images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).float()
        images = images.contiguous(memory_format=torch.channels_last)
        answer = network(images).flatten(2).transpose(1, 2)
        loss = detection_loss(answer, [torch.from_numpy(boxes) for _, boxes in drawn], cells(height, width))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        remember(average, network, min(0.998, (step + 1) / (step + 20)))
        losses.append(float(loss.detach()))
        if (step + 1) % 100 == 0 or step + 1 == course.steps:
            log.info("step %d: loss %.3f, %.0f s", step + 1, np.mean(losses[-100:]), time.monotonic() - started)
    return average


@torch.no_grad()
def remember(average: FishNet, network: FishNet, share: float) -> None:
    """Move the average towards the network: weights by 1 - `share`, counters and statistics alike."""
    state = network.state_dict()
    for name, value in average.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(state[name], 1 - share)
        else:
            value.copy_(state[name])
