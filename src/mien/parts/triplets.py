"""M2FNet's loss of extractors: triplets with a margin that adapts, and what keeps vectors apart.

As printed (equations 10 to 13) it cannot be minimised sensibly: differentiated, the margin pushes
close positives apart and pulls far negatives in; covariances are not squared and variances not
bounded, so that both fall for ever. The repaired form, which is the default, compares with the
margin as a number, squares covariances as VICReg does, and stops at a deviation of 1. ``literal``
is the printed one.

Shapes: B clips, K triplets, Z the width of the vectors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.errors import ConfigError
from mien.types import Batch, Output

EPSILON = 1e-4  # under the root of a variance, as VICReg has it; the paper does not say
TRIPLET, COVARIANCE, VARIANCE = 20.0, 5.0, 1.0
"""What each term counts in the sum, as published."""


def adaptive_margin(ap: Tensor, an: Tensor, pn: Tensor, *, literal: bool = False) -> Tensor:
    """``D_ap - (D_an + D_pn) / 2 + m`` of each triplet, with m = m_sim + m_dis (equations 10, 11).

    Args:
        ap: distances (K) of anchor and positive.
        an: of anchor and negative.
        pn: of positive and negative.
        literal: differentiate the margin, too, and let the value fall below 0.
    """
    similar = 1 + 2 * torch.exp(-4 * ap)
    dissimilar = 1 + 2 * torch.exp(4 * an - 4)
    margin = similar + dissimilar
    if literal:
        return ap - (an + pn) / 2 + margin
    return F.relu(ap - (an + pn) / 2 + margin.detach())


def covariance(z: Tensor, *, literal: bool = False) -> Tensor:
    """Off-diagonal covariances (equation 13) of vectors (K, Z): squared, or as printed."""
    centred = z - z.mean(0)
    found = centred.T @ centred / max(1, len(z) - 1)  # (Z, Z)
    apart = found - torch.diag(torch.diagonal(found))
    return (apart if literal else apart.square()).sum() / z.shape[1]


def variance(z: Tensor, *, literal: bool = False) -> Tensor:
    """How far deviations of vectors (K, Z) fall short of 1 (equation 12), or as printed."""
    short = 1 - (z.var(0, unbiased=len(z) > 1) + EPSILON).sqrt()
    return (short if literal else F.relu(short)).mean()


def triplets(labels: Tensor, apart: Tensor) -> Tensor:
    """Every pair of a class with a negative (K, 3), as FaceNet chooses it; our choice.

    The negative is the nearest of those that lie farther from the anchor than its positive does;
    where none does, the farthest.

    Args:
        labels: (B) class indices; below 0 belongs to no triplet.
        apart: (B, B) distances.
    """
    known = labels >= 0
    same = (labels[:, None] == labels) & known[:, None] & known
    other = (labels[:, None] != labels) & known[:, None] & known
    pairs = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    pairs &= other.any(1, keepdim=True)
    anchor, positive = pairs.nonzero().unbind(1)
    from_anchor = apart[anchor]  # (K, B)
    farther = other[anchor] & (from_anchor > apart[anchor, positive][:, None])
    nearest = from_anchor.masked_fill(~farther, torch.inf).argmin(1)
    farthest = from_anchor.masked_fill(~other[anchor], -torch.inf).argmax(1)
    negative = torch.where(farther.any(1), nearest, farthest)
    return torch.stack([anchor, positive, negative], 1)


class TripletLoss:
    """``20 L_AMT + 5 L_Cov + L_Var`` over the triplets of a batch.

    Distances are those of vectors of length 1, halved in the repaired form, so that they lie in
    0..1, where the margins mean something; deviations and covariances are those of the vectors as
    they are. Triplets are chosen within the whole batch, so the loss does not add up over parts.

    Args:
        feature: name of vectors (B, Z) among the features of an output.
        task: whose classes make triplets.
        literal: the printed form instead of the repaired one.

    Clips for which ``output.aux["NAME_present"]`` (B) is False belong to no triplet.
    """

    additive = False

    def __init__(self, feature: str, task: str, *, literal: bool = False) -> None:
        self.feature, self.task, self.literal = feature, task, literal

    def __call__(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The weighted sum and its three terms, means over triplets; 0 where there is none."""
        if self.feature not in output.features or self.task not in batch.targets:
            raise ConfigError(f"triplets need {self.feature!r} and classes of {self.task!r}")
        z = output.features[self.feature].float()
        unit = F.normalize(z, dim=1)
        with torch.no_grad():
            chosen = triplets(self._labels(output, batch), torch.cdist(unit, unit))
        if not len(chosen):
            return {"loss": z.sum() * 0}
        a, p, n = (unit[index] for index in chosen.unbind(1))
        scale = 1.0 if self.literal else 0.5
        ap, an, pn = (scale * _distance(*pair) for pair in ((a, p), (a, n), (p, n)))
        sides = [z[index] for index in chosen.unbind(1)]
        terms = {
            "triplet": adaptive_margin(ap, an, pn, literal=self.literal).mean(),
            "covariance": torch.stack([covariance(s, literal=self.literal) for s in sides]).sum(),
            "variance": torch.stack([variance(s, literal=self.literal) for s in sides]).sum(),
        }
        weights = {"triplet": TRIPLET, "covariance": COVARIANCE, "variance": VARIANCE}
        whole = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return {"loss": whole, **{name: term.detach() for name, term in terms.items()}}

    def weight(self, batch: Batch) -> Tensor:
        """Number of clips."""
        return torch.tensor(float(len(batch)), device=batch.present.device)

    def _labels(self, output: Output, batch: Batch) -> Tensor:
        """The class (B) of each clip; -1 where there is none, or nothing of the clip."""
        target, known = batch.targets[self.task], batch.target_mask[self.task]
        if target.is_floating_point():
            target = target.argmax(-1)  # of a soft label the likeliest
        there = output.aux.get(f"{self.feature}_present")
        known = known if there is None else known & there.bool()
        return torch.where(known, target, -1)


def _distance(one: Tensor, two: Tensor) -> Tensor:
    """Euclidean distances (K), with a gradient where vectors coincide."""
    return ((one - two).square().sum(1) + 1e-12).sqrt()
