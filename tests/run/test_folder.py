"""What a run keeps, whose place it is, and under which licence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpora
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from safetensors.torch import load_file
from torch import nn

import mien
from mien import config, registry
from mien.config import RunConfig
from mien.errors import MienError, RunError
from mien.parts import keys, towers
from mien.parts.model import Model
from mien.run import assemble, checkpoint, folder
from mien.run.batches import seed_for
from mien.run.train import train
from mien.types import Problem, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "glad"))


# -- licences --------------------------------------------------------------------------------------


def test_a_run_inherits_the_strictest_licence() -> None:
    assert folder.strictest([]) == "Apache-2.0"
    assert folder.strictest(["CC-BY-4.0", "CC-BY-NC-SA-4.0", "MIT"]) == "CC-BY-NC-SA-4.0"
    assert folder.strictest(["CC-BY-NC-SA-4.0", "ask the authors"]) == "ask the authors"


@settings(deadline=None)
@given(some.lists(some.sampled_from(folder.LICENCES), min_size=1))
def test_no_ancestor_is_stricter_than_the_run(licences: list[str]) -> None:
    order = folder.LICENCES.index
    assert order(folder.strictest(licences)) == max(map(order, licences))


# -- whose place it is -----------------------------------------------------------------------------


def _settings(*words: str) -> RunConfig:
    return config.resolve("toy-clip", overrides=words)


FACTS = {"data": "abc", "fold": None}


def _begun(out: Path, *words: str) -> dict[str, bytes]:
    """A claimed place in which something was done; gives its files."""
    assert folder.claim(out, _settings(*words), FACTS) is False
    assert {path.name for path in out.iterdir()} == {"config.yaml", "card.json"}
    (out / "log.jsonl").write_text("{}")
    return _files(out)


def _files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_place_is_claimed_once_and_found_again(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "one"
    before = _begun(out)
    assert folder.claim(out, _settings(), FACTS) is True
    assert _files(out) == before
    assert folder.read_config(out).model_dump() == _settings().model_dump()


def test_a_claim_that_nothing_came_of_may_be_made_with_other_settings(tmp_path: Path) -> None:
    folder.claim(tmp_path, _settings(), FACTS)
    assert folder.claim(tmp_path, _settings("lr=0.5"), FACTS) is False
    assert folder.read_config(tmp_path).train.lr == 0.5


@pytest.mark.parametrize(
    ("words", "facts", "named"),
    [
        (("lr=0.5", "data.rename.y=z"), FACTS, r"differs in train\.lr$"),
        (("data.rename.y=z", "seed=3"), FACTS, "differs in seed$"),
        (("data.rename.y=z",), FACTS | {"data": "abd"}, "differs in data$"),
        (("data.rename.y=z",), FACTS | {"fold": 1}, "differs in fold$"),
        (("data.rename.y=w",), FACTS, r"differs in data\.rename\.y$"),
        (("data.rename.y=z", "data.rename.x=z"), FACTS, r"differs in data\.rename\.x$"),
        ((), FACTS, r"differs in data\.rename, data\.rename\.y$"),
    ],
)
def test_another_run_in_the_same_place_is_refused_and_the_difference_named(
    words: tuple[str, ...], facts: dict[str, Any], named: str, tmp_path: Path
) -> None:
    before = _begun(tmp_path / "run", "data.rename.y=z")
    with pytest.raises(RunError, match="another run lives here; it ") as error:
        folder.claim(tmp_path / "run", _settings(*words), facts)
    assert re.search(named, error.value.what)
    assert _files(tmp_path / "run") == before


class Unplugged(Exception):
    """The machine went off."""


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("half", [True, False])
def test_a_claim_that_was_cut_short_can_be_made_again(
    number: int, half: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, count = checkpoint._write_synced, iter(range(1, 9))

    def fatal(path: Path, content: bytes) -> None:
        if next(count) == number:
            if half:
                path.write_bytes(content[:7])
            raise Unplugged
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write_synced", fatal)
        with pytest.raises(Unplugged):
            folder.claim(tmp_path / "run", _settings(), FACTS)
    _begun(tmp_path / "run")
    assert folder.claim(tmp_path / "run", _settings(), FACTS) is True


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    note = tmp_path / "thesis.txt"
    note.write_text("years of work")
    hidden = tmp_path / ".thesis.unfinished"
    hidden.write_text("more of it")
    data = corpora.clips(_new(tmp_path / "data"))
    for out in (tmp_path, note):
        with pytest.raises(RunError, match="not empty and holds no run") as error:
            train("toy-clip", data=data, out=out, quiet=True)
        assert error.value.fix == "choose another --out"
    assert (note.read_text(), hidden.read_text()) == ("years of work", "more of it")
    mine = _new(tmp_path / "mine") / "config.yaml"
    mine.write_text("system: toy-clip\n")
    with pytest.raises(MienError):
        train("toy-clip", data=data, out=mine.parent, quiet=True)
    assert mine.read_text() == "system: toy-clip\n"


def _new(path: Path) -> Path:
    path.mkdir()
    return path


# -- which tensors ---------------------------------------------------------------------------------


def test_weights_must_fit_by_name_and_shape() -> None:
    wanted = {"encoder.weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    good = {"encoder.weight": torch.ones(2, 3), "bias": torch.ones(2)}
    for spoilt, message in [
        ({"bias": good["bias"]}, r"1 keys missing \['encoder.weight'\], 0 unexpected"),
        (good | {"more": torch.ones(1)}, r"0 keys missing .* 1 unexpected \['more'\]"),
        ({"encodr.weight": torch.ones(2, 3), "bias": torch.ones(2)}, "did you mean 'encoder.wei"),
        (good | {"bias": torch.ones(3)}, r"bias has shape \(3,\), not \(2,\)"),
    ]:
        with pytest.raises(RunError, match=message) as error:
            folder.fill(wanted, spoilt, where="there")
        assert error.value.where == "there"
    folder.fill(wanted, good, where="there")
    assert all(torch.equal(wanted[name], good[name]) for name in good)


def _claip(preset: str, *words: str) -> Model:
    settings = config.resolve("claip-emo", preset=preset, overrides=words)
    stage = registry.system("claip-emo").load().STAGES["classify"]
    return assemble.build(stage, settings, {"emotion": EMOTION})


def test_a_frozen_tower_is_not_kept_but_what_moves_in_it_is() -> None:
    torch.manual_seed(0)
    model = _claip("tiny")
    kept = folder.kept_tensors(model)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learned <= kept.keys()
    assert any(".lora_" in name for name in learned)
    inside = {n for n in kept.keys() - learned if n.startswith("network.encoders.")}
    assert {name.rpartition(".")[2] for name in inside} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith("network.encoders.") for name in frozen)
    assert not frozen & kept.keys()


def test_without_towers_everything_is_kept_frozen_or_not() -> None:
    stage = registry.system("toy-clip").load().STAGES["classify"]
    model = assemble.build(stage, config.resolve("toy-clip"), {"emotion": EMOTION})
    model.network.requires_grad_(False)
    assert folder.kept_tensors(model).keys() == model.state_dict().keys()
    model.register_buffer("table", torch.arange(3), persistent=False)
    assert "table" not in folder.kept_tensors(model)


@pytest.mark.parametrize(("preset", "low", "high"), [("vit-l14", 32, 40), ("vit-b16", 19, 25)])
def test_a_run_over_the_published_towers_is_small(preset: str, low: int, high: int) -> None:
    with towers.blueprint():
        kept = folder.kept_tensors(_claip(preset))
    assert low < sum(tensor.numel() * 4 for tensor in kept.values()) / 1e6 < high


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLAIP-Emo, tiny, after one epoch."""
    home = tmp_path_factory.mktemp("claip")
    data = corpora.recordings(home)
    words = ["epochs=1", "batch_size=4"]
    train("claip-emo", preset="tiny", data=data, out=home / "run", overrides=words, quiet=True)
    return home / "run"


def _before_training(run: Path) -> Model:
    """The model as it was built, with the weights it started from."""
    settings = folder.read_config(run)
    stage = registry.system("claip-emo").load().STAGES["classify"]
    torch.manual_seed(seed_for(settings.seed, "classify", "build"))
    return assemble.build(stage, settings, folder.read_labels(run))


def test_training_leaves_every_bit_of_a_frozen_tower_as_it_was(adapted: Path) -> None:
    before, after = _before_training(adapted), mien.load(adapted).whole
    trained = dict(after.named_parameters())
    frozen = {name: p for name, p in before.named_parameters() if not p.requires_grad}
    assert len(frozen) > 40
    for name, parameter in frozen.items():
        assert torch.equal(trained[name], parameter), name
    moved = [
        n
        for n, p in before.named_parameters()
        if p.requires_grad and not torch.equal(trained[n], p)
    ]
    assert any("lora" in name for name in moved)


def test_the_adapter_file_holds_statistics_that_moved_under_our_names(adapted: Path) -> None:
    kept = load_file(adapted / "model.safetensors")
    before = {keys.ours(n): t for n, t in folder.kept_tensors(_before_training(adapted)).items()}
    assert kept.keys() == before.keys()
    norm = "network.encoders.audio.clap.norm_in"
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert not torch.equal(kept[f"{norm}.{name}"], before[f"{norm}.{name}"]), name
    assert not [name for name in kept if "lora_A" in name or "self_attn" in name]
    assert f"{norm}.weight" not in kept


def test_writing_and_reading_a_model_gives_the_same_tensors(adapted: Path, tmp_path: Path) -> None:
    run = mien.load(adapted)
    folder.write_model(tmp_path / "again.safetensors", run.whole)
    one, two = load_file(adapted / "model.safetensors"), load_file(tmp_path / "again.safetensors")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = _before_training(adapted)
    folder.read_model(tmp_path / "again.safetensors", other)
    for name, tensor in folder.kept_tensors(run.whole).items():
        assert torch.equal(folder.kept_tensors(other)[name], tensor)


# -- small files -----------------------------------------------------------------------------------


def test_tasks_come_back_as_they_were(tmp_path: Path) -> None:
    mood = TaskSpec(
        name="mood",
        problem=Problem.REGRESSION,
        labels=("valence",),
        ranges=((-1.0, 1.0),),
        units=("points",),
        invalid=(-5.0,),
    )
    specs = {"mood": mood, "emotion": EMOTION}
    folder.write_labels(tmp_path, specs)
    assert list(folder.read_labels(tmp_path).items()) == list(specs.items())


_TWICE = '{"name": "a", "problem": "ordinal", "labels": ["x"]}'


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[1]",
        "null",
        '["emotion"]',
        "[{}]",
        '[{"name": "a", "problem": "guess", "labels": ["x"]}]',
        '[{"name": "a", "problem": "ordinal", "labels": 3}]',
        f"[{_TWICE}, {_TWICE}]",
        "[" * 100_000,
    ],
    ids=range(9),
)
def test_tasks_that_make_no_sense_are_an_error_of_ours(content: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(MienError):
        folder.read_labels(tmp_path)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (folder.read_config, "this is not a run folder: it has no config.yaml"),
        (folder.read_card, r"cannot read card\.json"),
    ],
)
def test_a_folder_that_is_no_run_is_told_so(
    read: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=message):
        read(tmp_path)


def test_a_run_that_is_not_finished_is_told_so(tmp_path: Path) -> None:
    folder.claim(tmp_path, _settings(), FACTS)
    with pytest.raises(RunError, match="this run is not finished"):
        folder.read_card(tmp_path)
    with pytest.raises(RunError, match="this run is not finished"):
        mien.load(tmp_path)


def test_the_versions_a_result_depends_on_are_named() -> None:
    found = folder.versions()
    assert (
        found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    )
    assert {"python", "mien", "transformers", "peft", "accelerate", "numpy"} <= found.keys()


def test_kept_tensors_share_memory_with_the_model() -> None:
    """Filling them fills the model: a copy would silently lose what was loaded."""
    layer = nn.Linear(2, 2)
    folder.fill(
        folder.kept_tensors(layer), {"weight": torch.ones(2, 2), "bias": torch.ones(2)}, where=""
    )
    assert layer.weight.sum() == 4
