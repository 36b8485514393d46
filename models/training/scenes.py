"""Training images: labelled frames, varied, and scenes composed of their parts.

The clips are few and their cameras stand still, so a network soon knows the places by heart. Each clip's
empty background is therefore worked out (the median of what no box covers, moments apart), fish are cut out
by their difference from it, and scenes are composed anew: any fish, at any size, before any background. Backgrounds
alone, and patches of background pasted in the shape of a fish, are the negatives: no frame of the data has no fish.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.training.frames import Labelled

    Image = npt.NDArray[np.uint8]
    Boxes = npt.NDArray[np.float32]

MARGIN = 6
"""Pixels around a box that come along with a cut-out and fade."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A fish: BGR uint8 (h, w, 3), its opacity float32 (h, w) 0 to 1, and its box in it."""

    image: Image
    opacity: npt.NDArray[np.float32]
    box: Boxes


def empty_background(frames: list[Labelled], most: int = 48) -> Image:
    """Work out what a still camera sees behind the fish; pixels that boxes always cover are painted over."""
    chosen = frames[:: max(1, len(frames) // most)][:most]
    covered_value = 999
    stack = np.stack([frame.image for frame in chosen]).astype(np.int16)
    for layer, frame in zip(stack, chosen, strict=True):
        for left, top, right, bottom in frame.boxes.astype(int):
            layer[max(top - 4, 0) : bottom + 4, max(left - 4, 0) : right + 4] = covered_value
    stack.sort(axis=0)
    seen = (stack < covered_value).sum(axis=0)
    median = np.take_along_axis(stack, (seen // 2)[None], axis=0)[0]
    hidden = (seen[..., 0] == 0).astype(np.uint8)
    background = np.where(hidden[..., None], 0, median).astype(np.uint8)
    return cv2.inpaint(background, hidden, 5, cv2.INPAINT_TELEA).astype(np.uint8) if hidden.any() else background


def cut_out(frame: Labelled, background: Image) -> list[Cutout]:
    """Cut the fish of a frame out, by their difference from the background; none where that says little."""
    height, width = frame.image.shape[:2]
    cutouts = []
    for left, top, right, bottom in frame.boxes.round().astype(int).tolist():
        x0, y0, x1, y1 = (
            max(left - MARGIN, 0),
            max(top - MARGIN, 0),
            min(right + MARGIN, width),
            min(bottom + MARGIN, height),
        )
        image = frame.image[y0:y1, x0:x1]
        box = np.array([left - x0, top - y0, right - x0, bottom - y0], np.float32)
        if right - left < 8 or bottom - top < 8:
            continue
        difference = cv2.GaussianBlur(cv2.absdiff(image, background[y0:y1, x0:x1]).max(axis=2), (0, 0), 1.5)
        _, mask = cv2.threshold(difference, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        size = max(3, (right - left) // 12 | 1)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
        if len(stats) > 1:
            mask = (parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
        if not 0.2 < mask.sum() / ((right - left) * (bottom - top)) < 0.95:
            continue
        opacity = cv2.GaussianBlur(cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), 1.0)
        cutouts.append(Cutout(np.ascontiguousarray(image), opacity.astype(np.float32), box))
    return cutouts


class Scenes:
    """An endless supply of training images, the same for the same seed."""

    def __init__(self, frames: list[Labelled], seed: int, input_height: int = 288, input_width: int = 512) -> None:
        self._input = (input_height, input_width)
        self._random = np.random.default_rng(seed)
        clips = {clip: list(group) for clip, group in groupby(frames, key=lambda frame: frame.clip)}
        self._frames = list(clips.values())
        self.backgrounds = [empty_background(group) for group in self._frames]
        pairs = zip(self._frames, self.backgrounds, strict=True)
        self._cutouts = [[cut for frame in group for cut in cut_out(frame, back)] for group, back in pairs]
        self._cutouts = [group for group in self._cutouts if group]
        if not self._cutouts:
            raise ValueError("no fish stands out from its background: too few frames a clip, or none labelled")
        self._noise = self._random.normal(0, 1, (8, *self.backgrounds[0].shape)).astype(np.float32)

    def draw(self, height: int, width: int) -> tuple[Image, Boxes]:
        """Compose one scene, a crop where that is smaller than the input; boxes (n, 4): left, top, right, bottom."""
        random = self._random
        kind = random.random()
        clip = int(random.integers(len(self._frames)))
        if kind < 0.5:
            frame = self._frames[clip][int(random.integers(len(self._frames[clip])))]
            image, boxes = frame.image, frame.boxes
            pasted = int(random.choice([0, 0, 1, 2]))
        else:
            image, boxes = self.backgrounds[clip], np.zeros((0, 4), np.float32)
            pasted = 0 if kind > 0.92 else int(random.choice([1, 1, 2, 3]))
            if random.random() < 0.3:
                other = self.backgrounds[int(random.integers(len(self.backgrounds)))]
                image = cv2.addWeighted(image, 0.5, cv2.flip(other, 1), 0.5, 0).astype(np.uint8)
        image, boxes = self._place(image, boxes, height, width)
        for _ in range(int(random.choice([0, 0, 1, 2]))):
            self._decoy(image, boxes)
        for _ in range(pasted):
            boxes = self._paste(image, boxes)
        return self._tint(image), boxes

    def _place(self, image: Image, boxes: Boxes, height: int, width: int) -> tuple[Image, Boxes]:
        """Scale, shift and mirror a frame into an input of that size."""
        random = self._random
        base = min(self._input[0] / image.shape[0], self._input[1] / image.shape[1])
        zoom = base * float(np.exp(random.uniform(np.log(0.7), np.log(1.6))))
        stretch = float(np.exp(random.uniform(-0.12, 0.12)))
        mirror = -1.0 if random.random() < 0.5 else 1.0
        spare_x, spare_y = width - zoom * stretch * image.shape[1], height - zoom * image.shape[0]
        scale_x, scale_y = mirror * zoom * stretch, zoom
        shift_x = spare_x * float(random.uniform(0, 1)) + (zoom * stretch * image.shape[1] if mirror < 0 else 0)
        shift_y = spare_y * float(random.uniform(0, 1))
        if len(boxes) and random.random() < 0.7:
            # A crop seldom meets a fish by chance: move one of them into it.
            left, top, right, bottom = boxes[int(random.integers(len(boxes)))].tolist()
            x, y = (left + right) / 2 * scale_x + shift_x, (top + bottom) / 2 * scale_y + shift_y
            shift_x += 0.0 if 0 <= x < width else float(random.uniform(0.1, 0.9)) * width - x
            shift_y += 0.0 if 0 <= y < height else float(random.uniform(0.1, 0.9)) * height - y
        move = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
        placed = cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
        xs, ys = boxes[:, [0, 2]] * scale_x + shift_x, boxes[:, [1, 3]] * scale_y + shift_y
        corners = np.stack([xs.min(axis=1), ys.min(axis=1), xs.max(axis=1), ys.max(axis=1)], axis=1)
        clipped = np.clip(corners, 0, [width, height, width, height]).astype(np.float32)
        areas = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1) / np.prod(corners[:, 2:] - corners[:, :2], axis=1)
        sides = (clipped[:, 2:] - clipped[:, :2]).min(axis=1) if len(clipped) else np.zeros(0)
        return placed.astype(np.uint8), clipped[(areas > 0.25) & (sides >= 5)]

    def _cutout(self) -> Cutout:
        group = self._cutouts[int(self._random.integers(len(self._cutouts)))]
        return group[int(self._random.integers(len(group)))]

    def _shape(self, cutout: Cutout, longest: float) -> tuple[Image, npt.NDArray[np.float32], Boxes]:
        """Resize, turn, squeeze and mirror a cut-out; its new box is what its opacity spans."""
        random = self._random
        height, width = cutout.opacity.shape
        scale = longest / max(cutout.box[2] - cutout.box[0], cutout.box[3] - cutout.box[1])
        scale_x, scale_y = scale * float(random.uniform(0.75, 1.1)), scale * float(random.uniform(0.75, 1.1))
        angle = np.deg2rad(float(random.normal(0, 12)))
        mirror = -1.0 if random.random() < 0.5 else 1.0
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn = turn @ np.diag([mirror * scale_x, scale_y])
        ends = turn @ np.array([[0, width, 0, width], [0, 0, height, height]])
        low, high = ends.min(axis=1), ends.max(axis=1)
        size = np.maximum(np.ceil(high - low), 1).astype(int)
        move = np.concatenate([turn, -low[:, None]], axis=1)
        extent = (int(size[0]), int(size[1]))
        image = cv2.warpAffine(cutout.image, move, extent, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.warpAffine(cutout.opacity, move, extent)
        ys, xs = np.nonzero(opacity > 0.5)
        if not len(xs):
            return image.astype(np.uint8), opacity.astype(np.float32), np.zeros(4, np.float32)
        box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)
        return image.astype(np.uint8), opacity.astype(np.float32), box

    def _paste(self, image: Image, boxes: Boxes) -> Boxes:
        """Put one fish into the image, in its water: some contrast lost, some colour taken on."""
        random = self._random
        longest = float(np.exp(random.uniform(np.log(16), np.log(self._input[1] * 0.42))))
        fish, opacity, box = self._shape(self._cutout(), longest)
        spot = self._spot(image, opacity, boxes, box)
        if spot is None:
            return boxes
        x, y, part = spot
        water = cv2.mean(image[y[0] : y[1], x[0] : x[1]])[:3]
        colour = fish[part].astype(np.float32)
        own = colour.mean(axis=(0, 1))
        contrast = float(random.uniform(0.6, 1.25))
        mean = own + (np.array(water) - own) * float(random.uniform(0, 0.7)) + float(random.normal(0, 18))
        strength = opacity[part][..., None] * float(random.uniform(0.75, 1.0))
        under = image[y[0] : y[1], x[0] : x[1]].astype(np.float32)
        mixed = under + ((colour - own) * contrast + mean - under) * strength
        image[y[0] : y[1], x[0] : x[1]] = np.clip(mixed, 0, 255).astype(np.uint8)
        origin = np.array([x[0] - part[1].start, y[0] - part[0].start] * 2)
        limits = [image.shape[1], image.shape[0]] * 2
        placed = np.clip(box + origin, 0, limits).astype(np.float32)
        if (placed[2:] - placed[:2]).min() < 4:
            return boxes
        return np.concatenate([boxes, placed[None]])

    def _decoy(self, image: Image, boxes: Boxes) -> None:
        """Put a piece of background in the shape of a fish into the image: a pasted edge alone is no fish."""
        random = self._random
        longest = float(np.exp(random.uniform(np.log(16), np.log(self._input[1] * 0.35))))
        _, opacity, box = self._shape(self._cutout(), longest)
        spot = self._spot(image, opacity, boxes, box)
        if spot is None:
            return
        x, y, part = spot
        other = self.backgrounds[int(random.integers(len(self.backgrounds)))]
        height, width = y[1] - y[0], x[1] - x[0]
        if height >= other.shape[0] or width >= other.shape[1]:
            return
        top, left = int(random.integers(other.shape[0] - height)), int(random.integers(other.shape[1] - width))
        under = image[y[0] : y[1], x[0] : x[1]].astype(np.float32)
        strength = opacity[part][..., None] * float(random.uniform(0.6, 1.0))
        mixed = (
            under + (other[top : top + height, left : left + width] + float(random.normal(0, 20)) - under) * strength
        )
        image[y[0] : y[1], x[0] : x[1]] = np.clip(mixed, 0, 255).astype(np.uint8)

    def _spot(
        self, image: Image, opacity: npt.NDArray[np.float32], boxes: Boxes, box: Boxes
    ) -> tuple[tuple[int, int], tuple[int, int], tuple[slice, slice]] | None:
        """Find where a cut-out may go: spans of x and y in the image, and the part of it that shows there."""
        random = self._random
        height, width = opacity.shape
        if (box[2:] - box[:2]).min() < 5:
            return None
        left = int(random.uniform(-0.3 * width, image.shape[1] - 0.7 * width))
        top = int(random.uniform(-0.3 * height, image.shape[0] - 0.7 * height))
        placed = box + np.array([left, top] * 2)
        corner = np.maximum(boxes[:, :2], placed[:2])
        shared = np.prod(np.maximum(np.minimum(boxes[:, 2:], placed[2:]) - corner, 0), axis=1)
        smaller = np.minimum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.prod(placed[2:] - placed[:2]))
        if (shared > 0.3 * smaller).any():
            return None
        x = (max(left, 0), min(left + width, image.shape[1]))
        y = (max(top, 0), min(top + height, image.shape[0]))
        if x[1] - x[0] < 4 or y[1] - y[0] < 4:
            return None
        return x, y, (slice(y[0] - top, y[1] - top), slice(x[0] - left, x[1] - left))

    def _tint(self, image: Image) -> Image:
        """Vary colour, contrast, sharpness and noise as waters and cameras do."""
        random = self._random
        gains = np.exp(random.uniform(-0.22, 0.22, 3)) * np.exp(random.uniform(-0.2, 0.2))
        curve = float(np.exp(random.uniform(-0.35, 0.35)))
        levels = (np.arange(256) / 255.0) ** curve
        contrast = float(random.uniform(0.65, 1.3))
        table = np.clip(((levels - 0.45) * contrast + 0.45)[:, None] * 255 * gains + random.uniform(-15, 15), 0, 255)
        image = cv2.LUT(image, table.astype(np.uint8)[None]).astype(np.uint8)
        if random.random() < 0.5:
            grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
            amount = float(random.uniform(0, 1))
            image = cv2.addWeighted(image, 1 - amount, grey, amount, 0).astype(np.uint8)
        if random.random() < 0.3:
            image = cv2.GaussianBlur(image, (0, 0), float(random.uniform(0.4, 1.4))).astype(np.uint8)
        if random.random() < 0.4:
            noise = self._noise[int(random.integers(len(self._noise)))]
            height, width = image.shape[:2]
            noise = (
                np.resize(noise, image.shape)
                if noise.shape[0] < height or noise.shape[1] < width
                else noise[:height, :width]
            )
            image = np.clip(image + noise * float(random.uniform(1, 7)), 0, 255).astype(np.uint8)
        return image
