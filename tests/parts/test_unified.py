"""One encoder for all modalities: what a pass sees, whose norm it takes, and who is absent."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from mien.parts import masking
from mien.parts.autoencoder import LevelPool, PatchDecoder
from mien.parts.patches import Patches, positions
from mien.parts.pretext import PatchTarget
from mien.parts.unified import (
    SHARED,
    TOGETHER,
    LastPool,
    UnifiedAutoencoder,
    UnifiedEncoder,
    having,
    put_rows,
)
from mien.types import Output

DIM, WIDTH, LEVEL = 8, 6, 3
SIDES = {"video": (2, 4, 4), "audio": (4, 4)}
SHAPES = {"video": (3, 4, 8, 8), "audio": (1, 8, 8)}  # 2 x 2 x 2 and 2 x 2 patches


def encoder(*, separate_norms: bool = True) -> UnifiedEncoder:
    stems = {name: Patches(shape[0], SIDES[name], DIM) for name, shape in SHAPES.items()}
    made = UnifiedEncoder(stems, dim=DIM, depth=LEVEL, heads=2, separate_norms=separate_norms)
    stirred(made)
    return made


def stirred(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    module.eval()


def inputs(clips: int = 3) -> dict[str, Tensor]:
    return {name: torch.randn(clips, *shape) for name, shape in SHAPES.items()}


# -- passes ----------------------------------------------------------------------------------------


def test_a_token_is_its_patch_its_place_and_its_modality() -> None:
    layer, x = encoder(), inputs()["video"]
    visible = torch.tensor([[1, 4, 6]] * 3)
    expected = (layer.stems["video"](x) + positions(8, DIM, x) + layer.embeddings["video"])[
        :, [1, 4, 6]
    ]
    torch.testing.assert_close(layer.tokens("video", x, visible), expected)
    torch.testing.assert_close(layer.tokens("video", x)[:, [1, 4, 6]], expected)


def test_all_passes_share_their_blocks_and_have_norms_of_their_own() -> None:
    layer, tokens = encoder(), torch.randn(2, 5, DIM)
    assert set(layer.norms) == {"video", "audio", TOGETHER}
    x, expected = tokens, []
    for block in layer.blocks:
        x = block(x)
        expected.append(x)
    for name in layer.norms:
        (last,) = layer(tokens, name)
        torch.testing.assert_close(last, layer.norms[name](x))
        low, high = layer(tokens, name, (1, 3))
        torch.testing.assert_close(low, layer.norms[name](expected[0]))
        torch.testing.assert_close(high, last)
    one = encoder(separate_norms=False)
    assert set(one.norms) == {SHARED}
    assert torch.equal(one(tokens, "video")[0], one(tokens, TOGETHER)[0])


def test_together_is_for_those_who_have_all() -> None:
    layer = encoder()
    tokens = {name: layer.tokens(name, x) for name, x in inputs().items()}
    whole, nobody_said = layer.together(tokens, {"video": None, "audio": None})
    assert nobody_said is None
    assert whole[0].shape == (3, 12, DIM)
    there = {"video": torch.tensor([True, False, True]), "audio": torch.tensor([True, True, False])}
    some, rows = layer.together(tokens, there)
    assert rows is not None
    assert rows.tolist() == [0]
    torch.testing.assert_close(some[0], whole[0][:1])


def test_a_vector_of_a_pass_that_a_clip_lacks_is_zeros() -> None:
    layer = encoder()
    tokens = {name: layer.tokens(name, x) for name, x in inputs().items()}
    there = {"video": torch.tensor([True, True, False]), "audio": None}
    pools = dict.fromkeys(("video", "audio", TOGETHER), LastPool())
    found = layer.vectors(tokens, there, pools)
    torch.testing.assert_close(found["video"][:2], layer(tokens["video"], "video")[0][:2].mean(1))
    joint = torch.cat([tokens["video"], tokens["audio"]], 1)
    torch.testing.assert_close(found[TOGETHER][:2], layer(joint, TOGETHER)[0][:2].mean(1))
    assert not found["video"][2].any()
    assert not found[TOGETHER][2].any()
    alone = layer.vectors({"audio": tokens["audio"]}, {"audio": None}, pools)
    assert torch.equal(alone["audio"], found["audio"])
    assert not alone["video"].any()
    assert not alone[TOGETHER].any()


def test_levels_are_pooled_where_a_pool_wants_them() -> None:
    layer, x = encoder(), inputs()["audio"]
    tokens = {"audio": layer.tokens("audio", x)}
    pools = {"audio": LevelPool(LEVEL)}
    found = layer.vectors(tokens, {"audio": None}, pools, range(1, LEVEL + 1))
    levels = layer(tokens["audio"], "audio", range(1, LEVEL + 1))
    torch.testing.assert_close(found["audio"], torch.stack(levels).mean((0, 2)))


def test_who_has_all_and_rows_put_back() -> None:
    some = torch.tensor([True, False])
    assert having(("a", "b"), {"a": None, "b": None}) is None
    for other in (None, torch.tensor([True, True])):
        both = having(("a", "b"), {"a": other, "b": some})
        assert both is not None
        assert both.tolist() == [True, False]
    put = put_rows(torch.zeros(3, 2), torch.tensor([2, 0]), torch.tensor([[1.0, 2], [3, 4]]))
    assert put.tolist() == [[3, 4], [0, 0], [1, 2]]
    assert put_rows(torch.zeros(1, 2), None, torch.ones(1, 2)).tolist() == [[1, 1]]


# -- masked ----------------------------------------------------------------------------------------


def autoencoder(*, learned: bool = False) -> UnifiedAutoencoder:
    part = encoder()
    made = UnifiedAutoencoder(
        part,
        {
            name: PatchDecoder(
                DIM, width=WIDTH, depth=2, heads=2, outputs=math.prod(sides) * SHAPES[name][0]
            )
            for name, sides in SIDES.items()
        },
        {name: nn.Linear(DIM, 5) for name in SIDES},
        targets={name: PatchTarget(sides) for name, sides in SIDES.items()},
        temperature=0.07,
        learned=learned,
    )
    scale = made.scale
    made.scale = None
    stirred(made)
    made.scale = scale
    return made


def batch(clips: int = 3) -> dict[str, Tensor]:
    masks = [masking.tube((2, 2, 2), 0.5), masking.anywhere((2, 2), 0.5)]
    video, audio = masking.draw(masks, clips)
    return inputs(clips) | {"video_hidden": video, "audio_hidden": audio}


def test_features_are_of_each_alone_and_decoders_read_both_together() -> None:
    network, given = autoencoder(), batch()
    output = network(**given)
    part, tokens = network.encoder, {}
    for name in SIDES:
        visible, _ = masking.parted(given[f"{name}_hidden"])
        tokens[name] = part.tokens(name, given[name], visible)
        mean = part(tokens[name], name)[0].mean(1)
        torch.testing.assert_close(
            output.features[f"{name}_{LEVEL}"], network.projections[name](mean)
        )
    joint = part(torch.cat([tokens["video"], tokens["audio"]], 1), TOGETHER)[0]
    places = masking.parted(given["audio_hidden"])
    made = network.decoders["audio"](joint[:, -2:], (), *places)  # two of four patches of sound
    torch.testing.assert_close(output.aux["audio"], made)
    assert output.aux[f"logits_{LEVEL}"].shape == (3, 3)


def _one(output: Output, name: str, row: int) -> Tensor:
    return torch.cat(
        [output.aux[f"{name}_error"][row : row + 1], output.features[f"{name}_{LEVEL}"][row]]
    )


def test_a_modality_that_a_clip_lacks_is_absent_whatever_stands_there() -> None:
    network, given = autoencoder(), batch()
    present = torch.tensor([[True, True], [True, False], [False, True]])  # audio, video
    given["video"][1], given["audio"][2] = float("nan"), float("nan")
    mixed = network(**given, present=present)
    assert mixed.aux["video_present"].tolist() == [True, False, True]
    for row, name in ((1, "audio"), (2, "video")):
        alone = network(
            **{key: x[row : row + 1] for key, x in given.items() if key.startswith(name)}
        )
        torch.testing.assert_close(_one(mixed, name, row), _one(alone, name, 0))
    whole = network(**{key: x[:1] for key, x in given.items()})
    for name in SIDES:
        torch.testing.assert_close(_one(mixed, name, 0), _one(whole, name, 0))


def test_a_learned_temperature_is_what_similarities_are_divided_by() -> None:
    network, given = autoencoder(learned=True), batch()
    assert network.scale is not None
    assert network.temperature_now() == pytest.approx(0.07)
    with torch.no_grad():
        fixed = network(**given).aux[f"logits_{LEVEL}"]
        network.scale.fill_(math.log(5))
        output = network(**given)
    torch.testing.assert_close(output.aux[f"logits_{LEVEL}"], fixed * 0.07 * 5)
    assert output.aux["scale"] is network.scale
    assert "scale" not in autoencoder()(**given).aux


# -- layers ----------------------------------------------------------------------------------------


def test_layers_count_from_the_stems_up() -> None:
    network = autoencoder()
    layers = {name: network.layer(name) for name, _ in network.named_parameters()}
    assert layers["encoder.stems.video.project.weight"] == 0
    assert layers["encoder.embeddings.audio"] == 0
    assert layers["encoder.blocks.0.norm1.weight"] == 1
    assert layers["encoder.blocks.2.mlp.fc1.bias"] == 3
    assert layers["encoder.norms.both.weight"] == network.layers == 4
    assert layers["decoders.video.head.weight"] == 4
