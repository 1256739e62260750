"""How large systems are, counted without weights."""

from __future__ import annotations

import pytest

from mien import config, registry
from mien.run.measure import measure, measure_all, table
from mien.types import Problem, TaskSpec


@pytest.mark.parametrize(
    ("preset", "classes", "words", "trainable"),
    [
        ("vit-l14", 7, (), 8_196_231),
        ("vit-b16", 7, (), 4_927_879),
        ("vit-b32", 7, (), 4_927_879),
        ("official-b16", 7, (), 4_927_879),
        ("vit-b16", 7, ("vision_rank=4", "audio_rank=4"), 4_051_911),
        ("vit-b16", 7, ("vision_rank=16", "audio_rank=16"), 6_679_815),
        ("vit-l14", 7, ("vision_rank=4", "audio_rank=4"), 6_214_343),
        ("vit-l14", 7, ("vision_rank=16", "audio_rank=16"), 12_160_007),
        ("vit-b32", 7, ("vision_rank=64",), 14_217_607),
        ("vit-b16", 11, (), 4_934_027),
        ("vit-l14", 11, (), 8_203_403),
        ("vit-b16", 43, (), 4_983_211),
        ("vit-l14", 43, (), 8_260_779),
    ],
)
def test_it_is_exactly_as_large_as_published(
    preset: str, classes: int, words: tuple[str, ...], trainable: int
) -> None:
    assert measure("claip-emo", preset, classes, words).trainable == trainable


def test_every_component_has_its_published_size() -> None:
    found = measure("claip-emo", "vit-l14")
    sizes = {name: (count.trainable, count.total) for name, count in found.components.items()}
    assert sizes == {
        "encoders.video": (3_538_944, 303_179_776 + 3_538_944),
        "encoders.audio": (424_832, 27_549_128 + 424_832),
        "temporal.video": (4_219_904, 4_219_904),
        "heads.emotion": (12_551, 12_551),
    }
    assert found.total == sum(total for _, total in sizes.values())


def test_query_key_and_value_can_be_adapted_too() -> None:
    usual = config.resolve("claip-emo", preset="vit-b16").model.model_dump()["audio_targets"]
    targets = [*usual, "query", "key", "value"]
    more = measure("claip-emo", "vit-b16", overrides=[f"audio_targets={targets}"]).trainable
    assert more == 4_927_879 + 211_968


def test_the_table_of_sizes_lists_every_preset() -> None:
    found = measure_all([registry.system("claip-emo")])
    assert [item.preset for item in found] == list(registry.system("claip-emo").presets)
    text = table(found)
    assert "vit-l14" in text
    assert "8,196,231" in text
    assert "2.42%" in text
    assert "depends on the width" in text
    assert found[0].to_dict()["components"]["temporal.video"]["trainable"] == 3_165_184


def test_measuring_takes_a_systems_own_tasks() -> None:
    mood = TaskSpec(name="mood", problem=Problem.REGRESSION, labels=("valence", "arousal"))
    found = measure("claip-emo", "vit-b16", {"mood": mood})
    assert found.trainable == 4_927_879 - 10_759 + 2 * 1537
    assert found.components["heads.mood"].total == 2 * 1537
