"""The sequential decoder, its masks and its order; answers by likeness."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor

from mien.parts.guided import (
    Likeness,
    QueryPool,
    SequenceEncoder,
    SequentialDecoder,
)

NAMES = ("text", "audio", "visual")


def _memories(batch: int = 3) -> dict[str, tuple[Tensor, Tensor]]:
    torch.manual_seed(2)
    made = {}
    for i, name in enumerate(NAMES):
        mask = torch.ones(batch, 4 + i, dtype=torch.bool)
        mask[0, 2:] = False
        made[name] = (torch.randn(batch, 4 + i, 8), mask)
    return made


def _decoder(order: tuple[str, ...] = NAMES, *, between: bool = True) -> SequentialDecoder:
    torch.manual_seed(1)
    return SequentialDecoder(order, 2, 8, 2, 0.0, between=between).eval()


@pytest.mark.parametrize("order", list(permutations(NAMES)))
def test_every_order_is_another_network_of_the_same_size(order: tuple[str, ...]) -> None:
    decoder = _decoder(order)
    queries = torch.randn(3, 5, 8)
    found = decoder(queries, _memories())
    assert found.shape == (3, 5, 8)
    assert sum(p.numel() for p in decoder.parameters()) == sum(
        p.numel() for p in _decoder().parameters()
    )
    # One block after the other, as it stands.
    x = queries
    for blocks in decoder.passes:
        for name in order:
            x = blocks[name](x, *_memories()[name])  # type: ignore[index]
    assert torch.equal(found, x)
    if order != NAMES:
        state = dict(_decoder().state_dict())
        decoder.load_state_dict(state)
        assert not torch.allclose(
            decoder(queries, _memories()), _decoder()(queries, _memories()), atol=1e-5
        )


@pytest.mark.parametrize("between", [True, False])
def test_a_modality_that_is_masked_is_one_that_is_skipped(between: bool) -> None:
    decoder, memories = _decoder(between=between), _memories()
    queries = torch.randn(3, 5, 8)
    tokens, mask = memories["audio"]
    hidden = mask.clone()
    hidden[1] = False
    junk = torch.where(hidden[..., None], tokens, torch.full_like(tokens, 1e6))
    masked = decoder(queries, memories | {"audio": (junk, hidden)})
    left_out = decoder(queries, {n: m for n, m in memories.items() if n != "audio"})
    torch.testing.assert_close(masked[1], left_out[1], atol=0, rtol=0)
    torch.testing.assert_close(masked[2], decoder(queries, memories)[2], atol=1e-6, rtol=0)
    nothing = {n: (t, torch.zeros_like(m)) for n, (t, m) in memories.items()}
    assert torch.equal(decoder(queries, nothing), queries)


def test_queries_are_independent_where_they_do_not_look_at_each_other() -> None:
    queries = torch.randn(3, 5, 8)
    other = queries.clone()
    other[:, 4] = torch.randn(3, 8)
    for between in (True, False):
        decoder = _decoder(between=between)
        same = torch.allclose(
            decoder(queries, _memories())[:, :4], decoder(other, _memories())[:, :4], atol=1e-6
        )
        assert same is not between


def test_permuted_queries_give_permuted_answers() -> None:
    queries, order = torch.randn(3, 5, 8), torch.tensor([3, 1, 4, 0, 2])
    decoder = _decoder()
    torch.testing.assert_close(
        decoder(queries[:, order], _memories()), decoder(queries, _memories())[:, order]
    )


def test_an_encoder_never_sees_what_is_masked() -> None:
    torch.manual_seed(0)
    encoder = SequenceEncoder(6, 8, 1, 2, 0.0).eval()
    x = torch.randn(2, 5, 6)
    mask = torch.tensor([[True] * 3 + [False] * 2, [False] * 5])
    short, _ = encoder(x[:1, :3], mask[:1, :3])
    filled = x.masked_fill(~mask[..., None], float("nan"))
    long, seen = encoder(filled, mask)
    torch.testing.assert_close(long[0, :3], short[0])
    assert torch.equal(seen, mask)
    assert long.isfinite().all()


def test_places_matter() -> None:
    torch.manual_seed(0)
    encoder = SequenceEncoder(6, 8, 1, 2, 0.0).eval()
    x, all_there = torch.randn(1, 4, 6), torch.ones(1, 4, dtype=torch.bool)
    forth, _ = encoder(x, all_there)
    back, _ = encoder(x.flip(1), all_there)
    assert not torch.allclose(forth, back.flip(1), atol=1e-3)


def test_likeness_is_a_cosine_times_a_bounded_factor() -> None:
    torch.manual_seed(0)
    likeness = Likeness(8, 4, 0.07)
    queries, labels = torch.randn(2, 3, 8), torch.randn(3, 4)
    said = likeness(queries, labels)
    projected = likeness.project(queries)
    for b in range(2):
        for c in range(3):
            cosine = torch.cosine_similarity(projected[b, c], labels[c], dim=0)
            torch.testing.assert_close(said[b, c], cosine / 0.07, rtol=1e-5, atol=1e-5)
    one = likeness(queries[:, :1], labels)
    assert one.shape == (2, 3)
    with torch.no_grad():
        likeness.scale.fill_(50.0)
    assert likeness(queries, labels).abs().max() <= 100.001


def test_a_pool_leaves_out_what_is_masked() -> None:
    torch.manual_seed(0)
    pool = QueryPool(4)
    tokens = torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, False], [True] * 3])
    torch.testing.assert_close(pool(tokens, mask)[:1], pool(tokens[:1, :2]))
    assert pool(tokens, torch.zeros(2, 3, dtype=torch.bool)).isfinite().all()
