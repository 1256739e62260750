"""The training loop: what is selected, when it stops, what a step does, and what it refuses."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpora
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mien import config, registry, tasks
from mien.config import TrainConfig
from mien.data.batch import RowDataset
from mien.data.manifest import Manifest, infer_tasks
from mien.errors import ConfigError, Interrupted, MienError
from mien.parts.model import Model
from mien.run import assemble, checkpoint
from mien.run.average import moving
from mien.run.batches import seed_for
from mien.run.log import Log
from mien.run.loop import Loop
from mien.run.train import train
from mien.types import Batch, Objective, Output, Specs

PLAIN = ("mixup=0", "ema=null", "modality_dropout=0", "clip_norm=null", "warmup_epochs=0")


class Watched:
    """The tasks' own objective, which remembers the batches it was given."""

    def __init__(self, inner: Objective) -> None:
        self.inner, self.additive = inner, inner.additive
        self.batches: list[Batch] = []
        self.losses: list[float] = []

    def __call__(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        terms = self.inner(output, batch)
        self.batches.append(batch)
        self.losses.append(float(terms["loss"].detach()))
        return terms

    def weight(self, batch: Batch) -> Tensor:
        return self.inner.weight(batch)

    @property
    def ids(self) -> list[list[str]]:
        return [list(batch.ids) for batch in self.batches]


class Bench:
    """A toy loop with everything at hand that a test may want to change."""

    def __init__(self, home: Path, *words: str, rows: int | None = None, seed: int = 0) -> None:
        data = home / "data"
        data.mkdir(exist_ok=True)
        manifest = Manifest.read(corpora.clips(data))
        settings = config.resolve("toy-clip", overrides=[*PLAIN, *words])
        stage = registry.system("toy-clip").load().STAGES["classify"]
        self.specs: Specs = infer_tasks(manifest, tasks.NAMED)
        self.settings: TrainConfig = settings.train
        self.rows: RowDataset = assemble.dataset(
            manifest, manifest.rows[:rows], settings, stage, self.specs
        )
        torch.manual_seed(0)
        self.model: Model = assemble.build(stage, settings, self.specs)
        self.objective = Watched(assemble.make_objective(stage, settings, self.specs, self.rows))
        self.home, self.seed = home, seed

    def loop(self, score: Callable[[Model], tuple[float, dict[str, float]]] | None = None) -> Loop:
        return Loop(
            self.model,
            self.objective,
            self.rows,
            specs=self.specs,
            config=self.settings,
            seed=self.seed,
            place=self.home / "state",
            score=score,
            label="classify",
            quiet=True,
        )

    @property
    def log(self) -> Log:
        return Log(self.home / "log.jsonl")

    def run(self, score: Callable[[Model], tuple[float, dict[str, float]]] | None = None) -> Loop:
        loop = self.loop(score)
        loop.run(self.log)
        return loop


class Judge:
    """Gives each epoch a score known beforehand, and remembers the weights it saw."""

    def __init__(self, *values: float) -> None:
        self.values, self.seen = list(values), list[dict[str, Tensor]]()

    def __call__(self, model: Model) -> tuple[float, dict[str, float]]:
        self.seen.append(_copy(model))
        return self.values[len(self.seen) - 1], {"score": self.values[len(self.seen) - 1]}


def _copy(model: Model) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in moving(model).items()}


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# -- what is selected ------------------------------------------------------------------------------


@pytest.mark.parametrize("ema", ["null", "0.7"])
def test_the_weights_that_scored_best_are_the_ones_that_stay(ema: str, tmp_path: Path) -> None:
    """With averaging too: what is kept is what was scored, not the raw weights of that epoch."""
    judge = Judge(0.1, 0.9, 0.5)
    loop = Bench(tmp_path, f"ema={ema}", "epochs=3").run(judge)
    assert loop.course.best_epoch == 2
    assert _same(_copy(loop.model), judge.seen[1])
    assert not any(_same(judge.seen[1], judge.seen[i]) for i in (0, 2))


def test_averaged_weights_are_scored_while_the_raw_ones_go_on_training(tmp_path: Path) -> None:
    raw, averaged = Judge(1, 2), Judge(1, 2)
    Bench(tmp_path, "epochs=2").run(raw)
    other = tmp_path / "other"
    other.mkdir()
    loop = Bench(other, "epochs=2", "ema=0.7").loop(averaged)
    last: list[dict[str, Tensor]] = []
    put = loop.average.update
    loop.average.update = lambda step: (put(step), last.append(_copy(loop.model)))[0]  # type: ignore[method-assign, func-returns-value]
    loop.run(Log(other / "log.jsonl"))
    assert _same(last[-1], raw.seen[-1])
    assert not _same(averaged.seen[-1], raw.seen[-1])


def test_without_selection_the_last_weights_stay_averaged_where_asked(tmp_path: Path) -> None:
    loop = Bench(tmp_path, "ema=0.7", "epochs=2").run()
    assert loop.course.best_epoch == -1
    for name, tensor in loop.average.kept.items():
        assert torch.equal(moving(loop.model)[name], tensor)
    assert not (tmp_path / "state" / "best.safetensors").exists()
    assert not loop.model.training


def test_training_stops_when_patience_ends(tmp_path: Path) -> None:
    judge = Judge(0.2, 0.8, 0.8, 0.7, 0.9)
    loop = Bench(tmp_path, "epochs=5", "patience=2").run(judge)
    assert len(judge.seen) == 4, "an equal score is no better one"
    assert (loop.course.best_epoch, loop.course.stopped) == (2, True)
    assert [line["epoch"] for line in Log(tmp_path / "log.jsonl").lines()] == [1, 2, 3, 4]
    # Called again it knows that it is done.
    again = Bench(tmp_path, "epochs=5", "patience=2").run(judge)
    assert len(judge.seen) == 4
    assert _same(_copy(again.model), judge.seen[1])


# -- a step ----------------------------------------------------------------------------------------


def _norms(loop: Loop, log: Log) -> list[float]:
    """The length of the gradient that each step is taken with."""
    found: list[float] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parts = [
            p.grad.norm() for g in optimizer.param_groups for p in g["params"] if p.grad is not None
        ]
        found.append(float(torch.stack(parts).norm()))

    loop.optimizer.register_step_pre_hook(note)
    loop.run(log)
    return found


def test_gradients_are_clipped_before_the_step(tmp_path: Path) -> None:
    free = Bench(tmp_path, "epochs=1")
    assert min(_norms(free.loop(), free.log)) > 0.02
    (tmp_path / "b").mkdir()
    bound = Bench(tmp_path / "b", "epochs=1", "clip_norm=0.02")
    assert _norms(bound.loop(), bound.log) == pytest.approx([0.02] * bound.loop().steps, rel=1e-3)


def test_accumulated_micro_batches_make_the_same_step(tmp_path: Path) -> None:
    """Without noise and batch statistics, four micro-batches of two are one batch of eight."""
    made = []
    for name, accumulate in (("a", 1), ("b", 4)):
        (tmp_path / name).mkdir()
        words = ("epochs=1", "model.dropout=0", "model.norm=false", f"accumulate={accumulate}")
        bench = Bench(tmp_path / name, *words, "batch_size=8")
        made.append(_copy(bench.run().model))
        assert {len(ids) for ids in bench.objective.ids} == {8 // accumulate}
    for name, tensor in made[0].items():
        torch.testing.assert_close(made[1][name], tensor)


def test_the_rate_of_the_log_is_that_of_the_step(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "epochs=3", "warmup_epochs=1", "lr=0.5", "min_lr=0.1")
    loop = bench.loop()
    rates: list[float] = []
    loop.optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
    loop.run(bench.log)
    per_epoch = loop.steps_per_epoch
    assert rates[0] == pytest.approx(0.5 / per_epoch), "the first step of a warm-up already learns"
    assert rates[per_epoch - 1] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.1)
    logged = [line["lr"] for line in bench.log.lines()]
    assert logged == pytest.approx(rates[per_epoch - 1 :: per_epoch])


def test_bf16_computes_in_half_and_keeps_weights_in_full(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "epochs=1", "precision=bf16")
    before = _copy(bench.model)
    seen: set[torch.dtype] = set()
    head = next(m for n, m in bench.model.named_modules() if n.endswith("heads.emotion"))
    head.register_forward_hook(lambda module, inputs, out: seen.add(out.dtype))
    loop = bench.run()
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in loop.model.parameters()} == {torch.float32}
    assert not _same(_copy(loop.model), before)
    batch = bench.objective.batches[0]
    assert loop.model(batch).logits["emotion"].dtype == torch.float32, (
        "afterwards it is plain again"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without a GPU")
def test_fp16_without_a_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fp16 needs a GPU") as error:
        Bench(tmp_path, "precision=fp16").loop()
    assert error.value.fix == "train.precision=bf16"


# -- mixing and hiding -----------------------------------------------------------------------------


def test_mixup_makes_targets_soft_and_without_it_they_are_as_labelled(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "epochs=1", "mixup=0.8", rows=10)
    bench.run()
    targets = torch.cat([batch.targets["emotion"] for batch in bench.objective.batches])
    assert targets.shape[1] == bench.specs["emotion"].width
    torch.testing.assert_close(targets.sum(1), torch.ones(len(targets)))
    assert ((targets > 0.01).sum(1) == 2).any()
    (tmp_path / "b").mkdir()
    plain = Bench(tmp_path / "b", "epochs=1", rows=10)
    plain.run()
    assert not any(
        batch.targets["emotion"].is_floating_point() for batch in plain.objective.batches
    )


def test_modality_dropout_hides_in_training_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "epochs=2", "modality_dropout=0.6", "workers=0")
    seen: list[bool] = []

    def score(model: Model) -> tuple[float, dict[str, float]]:
        seen.append(model.training)
        return 0.0, {}

    bench.run(score)
    trained = torch.cat([batch.present for batch in bench.objective.batches])
    there = torch.tensor(
        [[name in bench.rows[i].inputs for name in "ab"] for i in range(len(bench.rows))]
    )
    assert trained.any(1).all(), "no clip loses everything"
    assert trained.float().mean() < there.float().mean() - 0.2


# -- order and seeds -------------------------------------------------------------------------------


def test_every_epoch_and_every_seed_has_its_own_order(tmp_path: Path) -> None:
    orders: list[tuple[list[list[str]], list[list[str]]]] = []
    for seed in (0, 0, 1):
        home = tmp_path / str(len(orders))
        home.mkdir()
        bench = Bench(home, "epochs=2", "batch_size=6", seed=seed)
        bench.run()
        half = len(bench.objective.ids) // 2
        orders.append((bench.objective.ids[:half], bench.objective.ids[half:]))
    assert orders[0] == orders[1]
    (first, second), (other, _) = orders[0], orders[2]
    assert first != second
    assert first != other
    assert set(itertools.chain(*first)) == set(itertools.chain(*second)), "each clip once an epoch"
    assert len(set(itertools.chain(*first))) == sum(map(len, first))


def test_seeds_of_different_draws_differ() -> None:
    parts = [(0, "a", 1), (0, "a", 2), (1, "a", 1), (0, "b", 1)]
    seeds = {seed_for(*part, what) for part in parts for what in ("forward", "prepare")}
    assert len(seeds) == 2 * len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_change_nothing(tmp_path: Path) -> None:
    data = corpora.clips(tmp_path)
    for count in (0, 2):
        words = ["epochs=1", f"workers={count}"]
        train("toy-clip", data=data, out=tmp_path / f"{count}", overrides=words, quiet=True)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("0", "2"))
    assert _same(one, two)


# -- interruptions and refusals --------------------------------------------------------------------


class _As:
    """An objective that does something else first."""

    def __init__(self, first: Callable[[Output], None], inner: Objective) -> None:
        self.first, self.inner, self.additive, self.weight = first, inner, True, inner.weight

    def __call__(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        self.first(output)
        return self.inner(output, batch)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_ends_the_step_keeps_a_state_and_goes_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    words = ("epochs=2", "ema=0.7", "mixup=0.4", "save_seconds=60")
    wanted = Bench(tmp_path / "whole", *words).run(Judge(0.1, 0.2))
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]

    bench = Bench(tmp_path, *words)
    calls, last = itertools.count(1), wanted.steps_per_epoch - 1
    bench.objective.inner = _As(
        lambda _: os.kill(os.getpid(), number) if next(calls) == last else None,
        bench.objective.inner,
    )
    with pytest.raises(Interrupted, match=f"stopped at step {last} of"):
        bench.run(Judge(0.1, 0.2))
    kept = checkpoint.load_state(tmp_path / "state")
    assert kept is not None
    assert kept[0] == last
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    again = Bench(tmp_path, *words).run(Judge(0.1, 0.2))
    assert _same(_copy(again.model), _copy(wanted.model))


def test_a_loss_that_is_no_number_says_where_and_what_to_try(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "epochs=1")
    with torch.no_grad():
        nn.init.constant_(next(bench.model.parameters()), torch.nan)
    with pytest.raises(MienError, match="the loss became nan at step 1") as error:
        bench.run()
    assert error.value.where is not None
    assert set(error.value.where.split(", ")) <= {
        row.id for items in bench.rows.items for row in items
    }
    assert "train.lr" in str(error.value.fix)
    assert not list((tmp_path / "state").glob("step-*")), "no state holds broken weights"


@pytest.mark.parametrize(
    ("batch", "accumulate", "rows"), [(8, 3, 48), (10, 4, 48), (32, 4, 7), (32, 4, 3), (6, 4, 48)]
)
def test_a_batch_that_does_not_divide_is_refused_with_a_fix_that_works(
    batch: int, accumulate: int, rows: int, tmp_path: Path
) -> None:
    words = (f"batch_size={batch}", f"accumulate={accumulate}")
    with pytest.raises(ConfigError, match="does not divide") as error:
        Bench(tmp_path, *words, rows=rows).loop()
    fix = re.match(r"train\.\w+=\d+", str(error.value.fix))
    assert fix is not None
    loop = Bench(tmp_path, *words, fix[0], rows=rows).loop()
    assert loop.steps_per_epoch >= 1


def test_an_empty_training_part_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.rows.items = []
    with pytest.raises(ConfigError, match="the training part is empty"):
        bench.loop()


def test_the_log_has_a_line_an_epoch_with_mean_terms(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "epochs=2")
    size = bench.run(Judge(0.25, 0.5)).steps_per_epoch
    lines = bench.log.lines()
    assert [line["step"] for line in lines] == [size, 2 * size]
    assert [line["held_out/score"] for line in lines] == [0.25, 0.5]
    for index, line in enumerate(lines):
        epoch = bench.objective.losses[index * size : (index + 1) * size]
        assert line["loss"] == pytest.approx(sum(epoch) / size)
