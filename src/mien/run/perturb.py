"""What training does to a batch on purpose: hide modalities, mix clips."""

from __future__ import annotations

from dataclasses import replace

import torch

from mien.config import TrainConfig
from mien.parts import mixing
from mien.types import Batch, Specs


def drop_modalities(batch: Batch, probability: float) -> Batch:
    """Hide each modality of each clip with this probability, but never a clip's last one."""
    present = batch.present
    keep = present & (torch.rand(present.shape) >= probability).to(present.device)
    # A clip that would lose all keeps one of those it had, chosen at random.
    luck = torch.rand(present.shape).to(present.device).masked_fill(~present, -1.0)
    saved = torch.zeros_like(present).scatter_(1, luck.argmax(1, keepdim=True), True) & present
    keep = torch.where(keep.any(1, keepdim=True), keep, saved)
    mask = {name: batch.mask[name] & keep[:, i, None] for i, name in enumerate(batch.modalities)}
    return replace(batch, present=keep, mask=mask)


def mix(batch: Batch, specs: Specs, config: TrainConfig) -> tuple[Batch, mixing.Mixture | None]:
    """Draw a mixture of this batch and give its targets; the front end's output is mixed later."""
    labelled = [_labelled(batch, name) for name in specs if name in batch.targets]
    mixture = mixing.draw(
        present=batch.present,
        modalities=batch.modalities,
        mixable=torch.stack(labelled).all(0) if labelled else None,
        mixup=config.mixup,
        cutmix=config.cutmix,
        probability=config.mix_probability,
        switch=config.mix_switch,
        draws=config.mix_draws,
    )
    if mixture is None:
        return batch, None
    targets, masks = dict(batch.targets), dict(batch.target_mask)
    for name in targets:
        targets[name], masks[name] = mixture.targets(
            targets[name],
            masks[name],
            classes=specs[name].width,
            categorical=specs[name].categorical,
        )
    return replace(batch, targets=targets, target_mask=masks), mixture


def _labelled(batch: Batch, task: str) -> torch.Tensor:
    mask = batch.target_mask[task]
    return mask if mask.ndim == 1 else mask.flatten(1).all(1)
