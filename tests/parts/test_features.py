"""Feature vectors in the place of media."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mien.errors import DataError
from mien.parts.features import FeatureEncoder, Standardise
from mien.types import Batch


def _batches(values: Tensor, mask: Tensor, size: int) -> list[Batch]:
    return [
        Batch(
            inputs={"voice": values[i : i + size]},
            mask={"voice": mask[i : i + size]},
            present=mask[i : i + size].any(1, keepdim=True),
        )
        for i in range(0, len(values), size)
    ]


@given(size=st.integers(1, 12), offset=st.sampled_from([0.0, 1e4]))
@settings(max_examples=15, deadline=None)
def test_statistics_are_those_of_what_is_there_in_any_batches(size: int, offset: float) -> None:
    torch.manual_seed(size)
    values = torch.randn(12, 3, 4) * torch.tensor([1.0, 10.0, 0.1, 3.0]) + offset
    values[2, 1, 0], values[5, 0, 1] = float("nan"), float("inf")
    mask = torch.rand(12, 3) > 0.3
    mask[2, 1] = mask[5, 0] = True
    front = Standardise({"voice": 4})
    front.fit(_batches(values, mask, size))
    rows = values[mask].double().numpy()
    rows[~np.isfinite(rows)] = np.nan
    got, _ = front({"voice": values}, {"voice": mask})
    expected = (rows - np.nanmean(rows, 0)) / np.nanstd(rows, 0)
    found = got["voice"][mask].double().numpy()
    np.testing.assert_allclose(found, np.nan_to_num(expected), rtol=1e-2, atol=2e-2)
    assert got["voice"][~mask].abs().sum() == 0


def test_a_feature_that_never_varies_becomes_zero() -> None:
    values = torch.tensor([[[1e6, 1.0]], [[1e6, 2.0]]])
    mask = torch.ones(2, 1, dtype=torch.bool)
    front = Standardise({"voice": 2})
    front.fit(_batches(values, mask, 1))
    got, _ = front({"voice": values + torch.tensor([5.0, 0.0])}, {"voice": mask})
    assert got["voice"][:, 0].tolist() == [[0, -1], [0, 1]]


def test_what_is_never_seen_in_training_becomes_zero() -> None:
    values = torch.tensor([[[float("nan"), 1.0]], [[float("nan"), 3.0]]])
    mask = torch.ones(2, 1, dtype=torch.bool)
    front = Standardise({"voice": 2})
    front.fit(_batches(values, mask, 2))
    got, _ = front({"voice": torch.full((1, 1, 2), 7.0)}, {"voice": mask[:1]})
    assert got["voice"].tolist() == [[[0, 5]]]


def test_statistics_are_saved_and_other_modalities_pass() -> None:
    values, mask = torch.randn(4, 2, 3), torch.ones(4, 2, dtype=torch.bool)
    front, again = Standardise({"voice": 3}), Standardise({"voice": 3})
    front.fit(_batches(values, mask, 2))
    again.load_state_dict(front.state_dict())
    other = torch.randn(4, 2, 9)
    inputs, masks = {"voice": values, "face": other}, {"voice": mask, "face": mask}
    got, kept = again(inputs, masks)
    assert torch.equal(got["voice"], front(inputs, masks)[0]["voice"])
    assert got["face"] is other
    assert kept == masks


def test_another_width_is_an_error_that_says_what_to_set() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(DataError, match=r"voice holds \(1, 2, 5\)") as error:
        Standardise({"voice": 3})({"voice": torch.zeros(1, 2, 5)}, {"voice": mask})
    assert "model.feature_dims.voice=5" in str(error.value)


def test_the_encoder_gives_a_token_for_each_position() -> None:
    encoder = FeatureEncoder(5, 7, dropout=0.5).eval()
    tokens, mask = encoder(torch.randn(2, 3, 5))
    assert tokens.shape == (2, 3, encoder.dim) == (2, 3, 7)
    assert mask.shape == (2, 3)
    assert mask.all()
    _, mask = encoder(torch.randn(2, 3, 5), torch.tensor([[True], [False]]))
    assert mask.tolist() == [[True] * 3, [False] * 3]
