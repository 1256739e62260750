"""Several modalities to one vector."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from mien.errors import ConfigError
from mien.parts.fusion import ConcatFusion

DIMS = {"video": 3, "audio": 2, "text": 4}


def _embeddings(batch: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(batch, width) for name, width in DIMS.items()}


def test_names_decide_the_order_not_the_mapping() -> None:
    embeddings = _embeddings()
    fused = ConcatFusion(DIMS)(embeddings)
    expected = torch.cat([embeddings["audio"], embeddings["text"], embeddings["video"]], 1)
    assert torch.equal(fused, expected)
    turned = dict(reversed(embeddings.items()))
    assert torch.equal(ConcatFusion(dict(reversed(DIMS.items())))(turned), expected)
    assert ConcatFusion(DIMS).dim == fused.shape[1] == 9


@pytest.mark.parametrize(
    "subset", [set(names) for n in (1, 2, 3) for names in combinations(DIMS, n)], ids=sorted
)
def test_a_clip_is_fused_alike_in_any_batch(subset: set[str]) -> None:
    """Missing from the call and masked in a larger batch are the same absence."""
    fuse, embeddings = ConcatFusion(DIMS), _embeddings()
    alone = fuse({name: x[:1] for name, x in embeddings.items() if name in subset})
    present = torch.ones(5, 3, dtype=torch.bool)
    present[0] = torch.tensor([name in subset for name in sorted(DIMS)])
    together = fuse(embeddings, present)
    assert torch.equal(alone[0], together[0])
    assert torch.equal(together[1:], fuse(embeddings)[1:])


def test_an_absent_embedding_does_not_leak_even_where_it_is_not_a_number() -> None:
    embeddings = _embeddings(2)
    embeddings["text"][1] = float("nan")
    present = torch.tensor([[True, True, True], [True, False, True]])
    assert ConcatFusion(DIMS)(embeddings, present).isfinite().all()


def test_present_has_a_column_for_each_modality_that_is_given() -> None:
    embeddings = _embeddings()
    del embeddings["text"]
    fuse = ConcatFusion(DIMS)
    present = torch.tensor([[False, True]]).expand(5, 2)
    fused = fuse(embeddings, present)
    assert fused[:, :6].abs().sum() == 0  # audio is hidden, text not given
    assert torch.equal(fused[:, 6:], embeddings["video"])
    with pytest.raises(ConfigError, match="3 columns for 2 modalities"):
        fuse(embeddings, torch.ones(5, 3, dtype=torch.bool))


def test_what_cannot_be_fused_is_named() -> None:
    with pytest.raises(ConfigError, match="'vidoe': did you mean 'video'"):
        ConcatFusion(DIMS)({"vidoe": torch.zeros(1, 3)})
    with pytest.raises(ConfigError, match="cannot fuse nothing"):
        ConcatFusion(DIMS)({})
