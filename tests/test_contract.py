"""Every system through the same life: train, kill, resume, evaluate, predict, save, move, load.

A new system is one row in ``CASES``.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import mien
from mien import registry
from mien.errors import Interrupted
from mien.run import checkpoint, folder, infer
from mien.run import loop as loops
from mien.run.explain import How
from mien.run.load import Run
from mien.run.train import train


@dataclass(frozen=True)
class Case:
    """A system's row: its preset, a corpus to learn from, and how it may be varied.

    ``still`` are settings without any randomness in a step, for what must be equal with another
    number of processes.
    """

    system: str
    preset: str
    corpus: Callable[[Path], Path]
    still: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.system}-{self.preset}-{self.corpus.__name__}"


CASES = [
    Case(
        "toy-clip",
        "tiny",
        corpora.clips,
        still=("mixup=0", "modality_dropout=0", "model.dropout=0", "model.norm=false"),
    ),
    Case("toy-frames", "tiny", corpora.frames, still=("accumulate=2",)),
    Case("toy-dialogues", "tiny", corpora.dialogues),
    Case("toy-pretrain", "tiny", corpora.clips, still=("accumulate=2",)),
    Case("toy-text", "tiny", corpora.texts),
    Case(
        "claip-emo",
        "tiny",
        corpora.recordings,
        overrides=("epochs=3", "batch_size=4", "save_seconds=0"),
    ),
    Case(
        "claip-emo",
        "tiny",
        corpora.prepared,
        overrides=("epochs=3", "batch_size=4", "save_seconds=0", "frames=4", "stride=2"),
    ),
    Case(
        "claip-emo",
        "laptop",
        corpora.recordings,
        overrides=(
            *("epochs=3", "batch_size=4", "save_seconds=0", "precision=fp32", "audio_seconds=0.5"),
            *("frames=2", "stride=2", "size=16", "model.vision.widths=[4, 8]"),
            *(
                "model.vision.depths=[1, 1]",
                "model.audio.widths=[4, 8]",
                "model.audio.depths=[1, 1]",
            ),
        ),
    ),
    Case(
        "pocket",
        "tiny",
        corpora.recordings,
        overrides=(
            "save_seconds=0",
            "model.voice_means={calm: calm, glad: glad, nobody: nobody}",
        ),
    ),
    Case(
        "hicmae",
        "tiny",
        corpora.prepared,
        still=("augment=false", "drop_path=0", "accumulate=2", "lr=1e-4"),
        overrides=("epochs=2", "batch_size=4", "save_seconds=0"),
    ),
    Case(
        "clip-sequential",
        "tiny",
        corpora.frames,
        # The bias of attention's keys has no gradient but rounding, of which AdamW makes steps.
        still=("dropout=0", "head_norm=layer", "accumulate=2", "parts=[tcn]"),
        overrides=("epochs=2", "batch_size=16", "save_seconds=0"),
    ),
    Case(
        "clip-sequential",
        "tiny",
        corpora.watched,
        still=("augment=none", "lr=1e-4"),
        overrides=("stages=[frames]", "epochs=2", "batch_size=16", "save_seconds=0"),
    ),
    Case(
        "compound",
        "tiny",
        corpora.moments,
        still=("dropout=0", "follower_dropout=0", "norm=layer", "accumulate=2", "optimizer=sgd"),
        overrides=("epochs=3", "batch_size=8", "save_seconds=0"),
    ),
    Case(
        "compound",
        "jmt",
        corpora.moments,
        overrides=(
            *("epochs=3", "batch_size=8", "save_seconds=0", "lr=0.01", "feature_dims={}"),
            *("channels={visual: [8, 6], audio: [6, 4]}", "dim=6", "kernel=3", "mlp=8"),
        ),
    ),
    Case(
        "vaemo",
        "tiny",
        corpora.described,
        still=("augment=false", "drop_path=0", "accumulate=2", "lr=1e-4"),
        overrides=("epochs=2", "batch_size=8", "save_seconds=0", "mu=0.5", "soft_targets=true"),
    ),
    Case(
        "m2fnet",
        "tiny",
        corpora.conversations,
        # Sums in another order, of which AdamW makes steps where nearly nothing has a gradient.
        still=("dropout=0", "accumulate=2", "lr=1e-4"),
        overrides=("epochs=2", "save_seconds=0"),
    ),
    Case(
        "m2fnet",
        "tiny",
        corpora.sayings,
        still=(
            "model.dropout=0",
            "model.words.hidden_dropout_prob=0",
            "model.words.attention_probs_dropout_prob=0",
            "lr=1e-4",
        ),
        overrides=("stages=[text]", "epochs=2", "save_seconds=0"),
    ),
    Case(
        "m2fnet",
        "tiny",
        corpora.voices,
        overrides=("stages=[audio]", "epochs=2", "save_seconds=0"),
    ),
    Case(
        "mer-clip",
        "tiny",
        corpora.opinions,
        still=("dropout=0", "accumulate=2", "lr=1e-4", "epochs=2"),
        overrides=("epochs=4", "save_seconds=0", "tune=adapter", "align=0.3"),
    ),
    Case(
        "textualized",
        "tiny",
        corpora.texts,
        overrides=("epochs=2", "save_seconds=0", "tune=adapters", "rank=2"),
    ),
    Case(
        "textualized",
        "published",
        corpora.texts,
        # The bias of attention's keys has no gradient but rounding, of which AdamW makes steps.
        still=("adapter_dropout=0", "model.dropout=0", "accumulate=2", "clip_norm=1e9"),
        overrides=(
            *("epochs=2", "batch_size=8", "save_seconds=0", "precision=fp32", "lr=0.1"),
            *("model.text.model_type=llama", "model.text.vocab_size=260", "longest=48"),
            *("model.text.hidden_size=32", "model.text.num_hidden_layers=2"),
            *("model.text.num_attention_heads=2", "model.text.intermediate_size=48"),
        ),
    ),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@dataclass(frozen=True)
class Life:
    """A finished, uninterrupted run and what it learned from."""

    case: Case
    data: Path
    out: Path
    metrics: dict[str, Any]


def _train(case: Case, data: Path, out: Path, *more: str) -> dict[str, Any]:
    torch.set_num_threads(1)  # sums of floats depend on how many threads share them
    return train(
        case.system,
        preset=case.preset,
        data=data,
        out=out,
        overrides=[*case.overrides, *more],
        quiet=True,
    )


@pytest.fixture(scope="session")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Life]:
    """One uninterrupted run a case, made when first asked for."""
    made: dict[str, Life] = {}

    def live(case: Case) -> Life:
        if case.name not in made:
            home = tmp_path_factory.mktemp(case.name)
            data = case.corpus(home)
            metrics = _train(case, data, home / "run")
            made[case.name] = Life(case, data, home / "run", metrics)
        return made[case.name]

    return live


# -- kill and resume -------------------------------------------------------------------------------

_FORKS = multiprocessing.get_context("forkserver")
# torch imports its compiler with the first optimizer: seconds, once here and not in each child.
_PRELOADED = ["mien.run.train", "mien.run.loop", "transformers", "peft", "torch._dynamo"]
_FORKS.set_forkserver_preload(_PRELOADED)


def _die_in_step(number: int) -> None:
    """Arrange that this process is killed in its step ``number``."""
    step, count = loops.Loop._step, iter(range(1, 10**9))

    def fatal(self: loops.Loop, batches: Any) -> Any:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batches)

    loops.Loop._step = fatal  # type: ignore[method-assign]


def _die_in_write(number: int) -> None:
    """Arrange that this process is killed halfway through writing its file ``number``."""
    write, count = checkpoint._write_synced, iter(range(1, 10**9))

    def fatal(path: Path, content: bytes) -> None:
        if next(count) == number:
            path.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, content)

    checkpoint._write_synced = fatal


def _child(case: Case, data: Path, out: Path, step: int | None, write: int | None) -> None:
    if step is not None:
        _die_in_step(step)
    if write is not None:
        _die_in_write(write)
    _train(case, data, out)


def _run_child(case: Case, data: Path, out: Path, *, step: int | None, write: int | None) -> int:
    child = _FORKS.Process(target=_child, args=(case, data, out, step, write))
    child.start()
    child.join(120)
    assert child.exitcode is not None, "the child hangs"
    return child.exitcode


@every_case
def test_killed_and_resumed_is_bit_identical(
    case: Case, lives: Callable[[Case], Life], tmp_path: Path
) -> None:
    life = lives(case)
    luck = np.random.default_rng([ord(letter) for letter in case.system])
    out = tmp_path / "run"
    deaths, code = 0, None
    while code != 0:
        # Every step writes a state of two files, so each child gets at least one step further.
        step = int(luck.integers(2, 6)) if deaths % 2 else None
        write = None if deaths % 2 else int(luck.integers(3, 12))
        code = _run_child(case, life.data, out, step=step, write=write)
        assert code in (0, -signal.SIGKILL), f"the child failed by itself: {code}"
        deaths += code != 0
    assert deaths >= 2

    assert (out / "model.safetensors").read_bytes() == (life.out / "model.safetensors").read_bytes()
    assert json.loads((out / "metrics.json").read_text())["tasks"] == life.metrics["tasks"]
    assert [_timeless(line) for line in _log(out)] == [_timeless(line) for line in _log(life.out)]
    assert not list(out.rglob("*.unfinished"))


def _log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def _timeless(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "clips_per_second"}


def test_an_interrupt_keeps_the_step_and_says_how_to_go_on(
    lives: Callable[[Case], Life], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = lives(CASES[0])
    step = loops.Loop._step

    def asked(self: loops.Loop, batches: Any) -> Any:
        if self.course.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(loops.Loop, "_step", asked)
        with pytest.raises(Interrupted, match="step 5"):
            _train(life.case, life.data, tmp_path / "run")
    _train(life.case, life.data, tmp_path / "run")
    assert (tmp_path / "run/model.safetensors").read_bytes() == (
        life.out / "model.safetensors"
    ).read_bytes()


# -- evaluate, predict, save, move, load -----------------------------------------------------------


@every_case
def test_evaluating_again_gives_the_scores_of_training(
    case: Case, lives: Callable[[Case], Life]
) -> None:
    life = lives(case)
    again = mien.evaluate(life.out, data=life.data)
    assert again["part"] == "test"
    for task, body in life.metrics["tasks"].items():
        assert body["scores"] == pytest.approx(again["tasks"][task]["scores"], abs=1e-6)
        assert body["intervals"], "a test part of several speakers has intervals"


@every_case
def test_a_run_that_is_moved_predicts_the_same(
    case: Case, lives: Callable[[Case], Life], tmp_path: Path
) -> None:
    life = lives(case)
    before = _scores(mien.load(life.out).predict(life.data))
    shutil.copytree(life.out, tmp_path / "elsewhere")
    moved = mien.load(tmp_path / "elsewhere")
    assert _scores(moved.predict(life.data)) == before
    assert before, "nothing was predicted"
    assert {path.name for path in life.out.iterdir()} >= {
        "config.yaml",
        "model.safetensors",
        "labels.json",
        "card.json",
        "metrics.json",
        "log.jsonl",
    }


def _scores(timelines: list[mien.Timeline]) -> list[Any]:
    return [[window.scores for _, window in timeline] for timeline in timelines]


@every_case
def test_every_answer_can_be_explained(case: Case, lives: Callable[[Case], Life]) -> None:
    """Whatever is hidden from whatever system, answers stay numbers, and the whole stays itself."""
    life = lives(case)
    run = mien.load(life.out)
    manifest = run.read(life.data)
    first = manifest.rows[0]
    few = manifest.only(
        [row for row in manifest.rows if row.dialogue == first.dialogue is not None]
        or manifest.rows[:2]
    )
    plain, why = run.predict(few), run.predict(few, explain=How(stretches=2))
    for one, other in zip(plain, why, strict=True):
        for (_, window), (_, told) in zip(one, other, strict=True):
            assert told.scores == window.scores
            assert (told.evidence is not None) == any(window.present.values())
            for reason in told.evidence.reasons if told.evidence is not None else ():
                assert set(reason.shares) <= _there(one), "what is absent is never blamed"
                assert set(reason.shares) == set(reason.drops) == set(reason.alone)
                numbers = [reason.margin, *reason.shares.values(), *reason.drops.values()]
                numbers += [moment.drop for moment in reason.moments]
                assert np.isfinite(numbers).all()


def _there(timeline: mien.Timeline) -> set[str]:
    return {name for _, w in timeline for name, is_there in w.present.items() if is_there}


@every_case
def test_the_card_says_what_chose_the_epoch(case: Case, lives: Callable[[Case], Life]) -> None:
    life = lives(case)
    card = json.loads((life.out / "card.json").read_text())
    rows = {row.id: row for row in mien.load(life.out).read(life.data).rows}
    assert card["selection"]["part"] == "held_out"
    assert card["selection"]["ids"], "the ids of the selection part are saved"
    assert all(rows[name].split == "train" for name in card["selection"]["ids"])
    assert card["licence"]
    assert card["versions"]["mien"] == mien.__version__


@every_case
def test_loading_is_strict(case: Case, lives: Callable[[Case], Life], tmp_path: Path) -> None:
    life = lives(case)
    good = load_file(life.out / "model.safetensors")
    name = next(key for key, value in good.items() if value.ndim)
    broken = {
        "missing": {k: v for k, v in good.items() if k != name},
        "unexpected": good | {"network.stranger": torch.zeros(1)},
        "shape": good | {name: torch.zeros(good[name].shape[0] + 1)},
    }
    shutil.copytree(life.out, tmp_path / "run")
    for word, tensors in broken.items():
        save_file(tensors, tmp_path / "run/model.safetensors")
        with pytest.raises(mien.RunError, match=word):
            mien.load(tmp_path / "run")


# -- batches, padding, modalities ------------------------------------------------------------------


def _run_on(life: Life) -> tuple[Run, Any]:
    run = mien.load(life.out)
    manifest = run.read(life.data)
    return run, run.dataset(manifest, manifest.rows)


@every_case
def test_a_batch_equals_its_clips_one_by_one(case: Case, lives: Callable[[Case], Life]) -> None:
    run, rows = _run_on(lives(case))
    together = infer.predict(run.whole, rows, run.specs, batch_size=16)
    alone = infer.predict(run.whole, rows, run.specs, batch_size=1)
    assert together.ids == alone.ids
    for task, answers in together.tasks.items():
        for a, b in zip(answers.scores, alone.tasks[task].scores, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@every_case
def test_merged_adapters_give_the_same_logits(case: Case, lives: Callable[[Case], Life]) -> None:
    life = lives(case)
    run, rows = _run_on(life)
    merged = mien.load(life.out, merge=True)
    assert not any("lora" in name for name, _ in merged.whole.named_parameters())
    batch = next(infer.batches(rows, run.specs, 8, run.front_end))
    with torch.no_grad():
        apart, together = run.whole(batch), merged.whole(batch)
    for task, logits in apart.logits.items():
        torch.testing.assert_close(together.logits[task], logits, atol=1e-5, rtol=0)


@every_case
def test_padding_changes_nothing(case: Case, lives: Callable[[Case], Life]) -> None:
    """Positions behind the mask hold anything, and there may be any number of them."""
    run, rows = _run_on(lives(case))
    batch = next(infer.batches(rows, run.specs, 6, run.front_end))
    inputs, mask = {}, {}
    for name, tensor in batch.inputs.items():
        junk = torch.full_like(tensor[:, :3], 7)
        inputs[name] = torch.cat([tensor, junk], 1)
        mask[name] = torch.cat(
            [batch.mask[name], torch.zeros(len(batch), junk.shape[1], dtype=torch.bool)], 1
        )
        hidden = ~mask[name].reshape(*mask[name].shape, *[1] * (tensor.ndim - 2))
        inputs[name] = torch.where(hidden, torch.full_like(inputs[name], 7), inputs[name])
    with torch.no_grad():
        plain, padded = run.whole(batch), run.whole(replace(batch, inputs=inputs, mask=mask))
    for task, logits in plain.logits.items():
        found = padded.logits[task]
        if logits.ndim == 3:
            known = batch.mask[batch.modalities[0]]
            logits, found = logits[known], found[:, : known.shape[1]][known]
        torch.testing.assert_close(found, logits, atol=1e-5, rtol=0)


@every_case
def test_every_subset_of_modalities_works(case: Case, lives: Callable[[Case], Life]) -> None:
    run, rows = _run_on(lives(case))
    sample = next(
        s for s in (rows[i] for i in range(len(rows))) if len(s.inputs) == len(rows.modalities)
    )
    names = sorted(sample.inputs)
    for chosen in range(1, 2 ** len(names)):
        kept = [name for i, name in enumerate(names) if chosen >> i & 1]
        clip = {name: sample.inputs[name] for name in kept}
        alone = run.predict([clip])
        among = run.predict([clip, {n: sample.inputs[n] for n in names}])
        for window, other in zip(alone[0], among[0], strict=True):
            for task in run.specs:
                assert list(window[1].scores[task].values()) == pytest.approx(
                    list(other[1].scores[task].values()), abs=1e-5
                )
            assert {name for name, here in window[1].present.items() if here} == set(kept)


# -- two processes ---------------------------------------------------------------------------------


def _rank(rank: int, port: int, case: Case, data: Path, out: Path, more: tuple[str, ...]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        _train(case, data, out, *more)
    finally:
        torch.distributed.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ranks() -> Iterator[Callable[..., None]]:
    running: list[Any] = []

    def start(*args: Any) -> None:
        port = _free_port()
        for rank in range(2):
            running.append(_FORKS.Process(target=_rank, args=(rank, port, *args)))
            running[-1].start()
        for child in running:
            child.join(120)
        assert [child.exitcode for child in running] == [0, 0]

    yield start
    for child in running:
        if child.is_alive():
            child.kill()


@pytest.mark.parametrize("case", [c for c in CASES if c.still], ids=lambda case: case.name)
def test_two_processes_equal_one(case: Case, tmp_path: Path, ranks: Callable[..., None]) -> None:
    """Same global batch, same loss and same weights: contrast and CCC included."""
    data = case.corpus(tmp_path)
    _train(case, data, tmp_path / "one", *case.still)
    ranks(case, data, tmp_path / "two", case.still)
    one, two = _log(tmp_path / "one"), _log(tmp_path / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for a, b in zip(one, two, strict=True):
        if "loss" in a:
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
    weights = load_file(tmp_path / "two/model.safetensors")
    for name, tensor in load_file(tmp_path / "one/model.safetensors").items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-5, rtol=1e-4)


def test_every_system_has_a_row() -> None:
    assert {case.system for case in CASES} == set(registry.systems())


def test_another_run_is_never_overwritten(lives: Callable[[Case], Life]) -> None:
    life = lives(CASES[0])
    with pytest.raises(mien.RunError, match=r"differs in .*train\.lr"):
        _train(life.case, life.data, life.out, "lr=0.5")
    assert folder.read_config(life.out).train.lr != 0.5
