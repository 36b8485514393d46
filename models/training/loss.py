"""What the network is asked for: each fish's central cells answer for it, with a score that grows with their overlap.

Scores follow quality focal loss (Li et al. 2020, "Generalized Focal Loss") with targets from a half, for no
overlap yet, to one; a plain IoU target learns too little at first. Boxes follow generalized IoU
(Rezatofighi et al. 2019); cells are chosen as in FCOS (Tian et al. 2019), by an ellipse in the box's middle.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from models.training.network import STRIDE, boxes

CENTRE = 0.3
"""Half-axes of the ellipse, in parts of the box's sides; never below 0.75 cells, so that each box has one."""


def overlap(one: torch.Tensor, two: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalized IoU of boxes (..., 4), pair by pair."""
    inner = (torch.minimum(one[..., 2:], two[..., 2:]) - torch.maximum(one[..., :2], two[..., :2])).clamp(min=0)
    outer = torch.maximum(one[..., 2:], two[..., 2:]) - torch.minimum(one[..., :2], two[..., :2])
    shared, hull = inner.prod(dim=-1), outer.prod(dim=-1).clamp(min=1e-6)
    areas = (one[..., 2:] - one[..., :2]).prod(dim=-1) + (two[..., 2:] - two[..., :2]).prod(dim=-1)
    union = (areas - shared).clamp(min=1e-6)
    iou = shared / union
    return iou, iou - (hull - union) / hull


def assign(truth: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Say for each cell which of the boxes (n, 4) it answers for, -1 for none, and with what weight.

    Where two fish meet the smaller one has the cell. A box's cells weigh together as the root of their
    count: a fish near the lens must not outweigh ten far ones.
    """
    owner = torch.full((len(centres),), -1, dtype=torch.long)
    weight = torch.ones(len(centres))
    if not len(truth):
        return owner, weight
    middle, size = (truth[:, :2] + truth[:, 2:]) / 2, truth[:, 2:] - truth[:, :2]
    axes = (size * CENTRE).clamp(min=0.75 * STRIDE)
    inside = (((centres[:, None] - middle[None]) / axes[None]) ** 2).sum(dim=-1) <= 1
    areas = torch.where(inside, size.prod(dim=-1)[None], torch.inf)
    smallest, index = areas.min(dim=1)
    taken = torch.isfinite(smallest)
    owner[taken] = index[taken]
    counts = torch.bincount(owner[taken], minlength=len(truth)).float()
    weight[taken] = counts[owner[taken]].rsqrt()
    return owner, weight


def detection_loss(answer: torch.Tensor, truths: list[torch.Tensor], centres: torch.Tensor) -> torch.Tensor:
    """Score the answers (B, cells, 5) against each image's boxes (n, 4)."""
    owners, weights = zip(*(assign(truth, centres) for truth in truths), strict=True)
    owner, weight = torch.stack(owners), torch.stack(weights)
    positive = owner >= 0
    quality = torch.zeros_like(weight)
    box_loss = answer.sum() * 0
    total = weight[positive].sum().clamp(min=1)
    if positive.any():
        wanted = torch.cat([truth[own[own >= 0]] for truth, own in zip(truths, owner, strict=True)])
        iou, generalized = overlap(boxes(answer, centres)[positive], wanted)
        quality[positive] = (1 + iou.detach()) / 2
        box_loss = ((1 - generalized) * weight[positive]).sum() / total
    score = answer[..., 4]
    focal = functional.binary_cross_entropy_with_logits(score, quality, reduction="none")
    focal = focal * (score.sigmoid() - quality).abs().detach() ** 2 * weight
    return 2 * box_loss + 4 * focal.sum() / total
