"""`mien train`: from a manifest and a preset to a finished run, or a family of folds and seeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien import config as configuration
from mien import registry, tasks
from mien.config import RunConfig
from mien.data import split
from mien.data.batch import RowDataset
from mien.data.manifest import Manifest, Row, infer_tasks
from mien.errors import ConfigError, DataError, did_you_mean
from mien.notice import INTENDED_USE
from mien.parts import keys, towers
from mien.parts.model import Model
from mien.run import answers, assemble, checkpoint, folder, infer, processes, score, seeing
from mien.run.alone import alone
from mien.run.batches import seed_for
from mien.run.log import Log
from mien.run.loop import Loop
from mien.tasks.conversation import by_utterance
from mien.types import Objective, Resolution, Specs, Stage, TaskSpec, Unit

_BATCH_FOR_SCORING = 64


def train(
    system: str,
    *,
    data: str | Path,
    out: str | Path,
    preset: str | None = None,
    stage: str | None = None,
    only: Callable[[Stage], bool] | None = None,
    folds: bool = False,
    seeds: Sequence[int] | None = None,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    init: str | Path | None = None,
    self_contained: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Train a system on a manifest; the same call goes on with what an interruption left.

    Args:
        system: name of the system, as in ``mien systems``.
        data: manifest (JSONL, CSV or Parquet).
        out: run folder; with folds or several seeds the folder of all of them.
        preset: named settings of the system.
        stage: run this stage alone.
        only: run the stages for which this holds, such as the self-supervised ones.
        folds: one run for each fold of the manifest (or for ``data.folds`` made ones).
        seeds: one run for each seed.
        config: YAML file laid over the preset.
        overrides: ``key=value`` words laid over that.
        init: a run whose handed-on weights the first stage starts from; of a family of runs, each
            fold and seed from its own.
        self_contained: store every tower in the run, however large.
        quiet: no progress.

    Returns:
        The content of ``metrics.json``.
    """
    settings = _settings(system, preset, config, overrides, stage, only)
    manifest = Manifest.read(
        Path(data),
        columns=settings.data.columns,
        root=Path(settings.data.root) if settings.data.root else None,
        rename=settings.data.rename,
    )
    specs = _specs(manifest, settings)
    jobs = list(_jobs(manifest, settings, Path(out), folds, seeds))
    family = len(jobs) > 1 or folds
    for job in jobs:
        if family and not quiet and processes.state().is_main_process:
            score.announce(job.name)
        own = None if init is None else folder.member(init, job.name)
        _Training(job, manifest, specs, own, self_contained, quiet).run()
    if not family:
        return checkpoint.read_object(jobs[0].out / folder.METRICS)
    if processes.state().is_main_process:
        score.summarise(Path(out), [job.out for job in jobs])
    return checkpoint.read_object(Path(out) / folder.METRICS)


def _settings(
    system: str,
    preset: str | None,
    file: str | Path | None,
    overrides: Sequence[str],
    stage: str | None,
    only: Callable[[Stage], bool] | None,
) -> RunConfig:
    stages = registry.system(system).load().STAGES
    values: dict[str, Any] = {}
    if stage is not None:
        if stage not in stages:
            raise ConfigError(f"{system!r} has no stage {stage!r}: {did_you_mean(stage, stages)}")
        values["stages"] = [stage]
    elif only is not None:
        values["stages"] = [name for name, declared in stages.items() if only(declared)]
        if not values["stages"]:
            raise ConfigError(
                f"{system!r} has no self-supervised stage", fix=f"mien train {system}"
            )
    settings = configuration.resolve(
        system, preset=preset, file=file, overrides=overrides, values=values
    )
    if not settings.stages:
        raise ConfigError("no stage is asked for", fix=f"stages={list(stages)}")
    return settings


def _specs(manifest: Manifest, settings: RunConfig) -> dict[str, Any]:
    stages = registry.system(settings.system).load().STAGES
    if not any(stages[name].supervised for name in settings.stages):
        return {}
    found = infer_tasks(manifest, tasks.NAMED)
    for name in settings.data.tasks:
        if name not in found:
            raise DataError(
                f"the manifest has no labels for task {name!r}: {did_you_mean(name, found)}",
                where=str(manifest.path),
            )
    wanted = settings.data.tasks or list(found)
    if any(stages[name].spread for name in settings.stages):
        found = {name: _asked(spec, Resolution.FRAME) for name, spec in found.items()}
    elif all(stages[name].unit is Unit.TEXT for name in settings.stages):
        # A row of words is one moment, whatever the task asks of a film.
        found = {
            name: _asked(spec, Resolution.CLIP) if spec.resolution is Resolution.FRAME else spec
            for name, spec in found.items()
        }
    if not wanted:
        raise DataError(
            "the manifest has no labels to train on",
            where=str(manifest.path),
            fix='add "labels": {"emotion": "happy"} to its rows',
        )
    chosen = {name: found[name] for name in wanted}
    talks = any(stages[name].unit is Unit.DIALOGUE for name in settings.stages)
    return by_utterance(chosen) if talks else chosen


def _asked(spec: TaskSpec, often: Resolution) -> TaskSpec:
    """A task of classes as one that asks so often."""
    return replace(spec, resolution=often) if spec.categorical else spec


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    out: Path
    settings: RunConfig
    rows: Sequence[Row]
    fold: int | None


def _jobs(
    manifest: Manifest, settings: RunConfig, out: Path, folds: bool, seeds: Sequence[int] | None
) -> Iterator[_Job]:
    """One job a seed and fold, each with its own folder."""
    rows: Sequence[Row] = manifest.rows
    numbers: list[int | None] = [None]
    if folds:
        rows = assemble.folded(manifest, settings)
        numbers = [*sorted({row.fold for row in rows if row.fold is not None})]
    chosen = list(dict.fromkeys(seeds or [settings.seed]))
    if min(chosen) < 0:
        raise ConfigError(f"a seed is at least 0, not {min(chosen)}")
    many = len(chosen) > 1
    for seed in chosen:
        for fold in numbers:
            place = [f"seed-{seed}"] * many + ([f"fold-{fold}"] if folds else [])
            yield _Job(
                name="/".join(place),
                out=out.joinpath(*place),
                settings=settings.model_copy(update={"seed": seed}),
                rows=rows,
                fold=fold,
            )


class _Training:
    """One run: its parts, its stages in order, its scores, its folder."""

    def __init__(
        self,
        job: _Job,
        manifest: Manifest,
        specs: Specs,
        init: str | Path | None,
        self_contained: bool,
        quiet: bool,
    ) -> None:
        self.job, self.manifest, self.specs = job, manifest, specs
        self.init, self.self_contained, self.quiet = init, self_contained, quiet
        self.ancestor = None if init is None else folder.read_card(Path(init))
        self.started_from = None if init is None else checkpoint.digest(Path(init) / folder.MODEL)
        self.out = job.out
        self.main = processes.state().is_main_process
        data, self.select = job.settings.data, job.settings.train.select
        self.parts = split.partition(
            job.rows,
            fold=job.fold,
            held_out=data.held_out if self.select == "held_out" else 0,
            seed=job.settings.seed,
            random_split=data.random_split,
        )
        self.stages: dict[str, Stage] = registry.system(job.settings.system).load().STAGES
        self.log = Log(self.out / folder.LOG, active=self.main)

    def run(self) -> None:
        """Train all stages that are not finished, then score and write everything down."""
        settings = self.job.settings
        first = settings.stages[0]
        if self.stages[first].gives is None:  # what makes vectors reads recordings
            settings = assemble.with_dims(settings, self._dataset(settings, first, self._rows()))
        for name in settings.stages:
            if self.stages[name].beside:  # missed now, not when the stages before are done
                self._dataset(settings, name, self._rows())
        if self.main:
            folder.claim(self.out, settings, self._identity())
        processes.state().wait_for_everyone()
        if checkpoint.read_object(self.out / folder.CARD).get("finished"):
            return
        with self._alone():
            self._train(settings)
        processes.state().wait_for_everyone()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other training goes on in this folder, apart from our own processes."""
        if not self.main:
            yield
            return
        with alone(self.out, "trains", lock="state/.lock"):
            try:
                yield
            finally:  # a start that failed at once leaves nothing
                if not [path for path in self.out.glob("state/*") if path.name != ".lock"]:
                    shutil.rmtree(self.out / "state", ignore_errors=True)

    def _train(self, settings: RunConfig) -> None:
        """All stages that are not finished, then scores and everything else of a run."""
        handed = self._start()
        for name in settings.stages:
            stage_settings = settings.for_stage(name)
            done = self.out / "state" / name / "done.safetensors"
            if done.exists() and name != settings.stages[-1]:
                handed = checkpoint.read_tensors(done)
                continue
            model = self._train_stage(name, stage_settings, handed)
            handed = folder.kept_tensors(model)
            if self.main and name != settings.stages[-1]:
                checkpoint.write_tensors(done, handed)
        if self.main:
            self._finish(settings, model)

    # -- rows ----------------------------------------------------------------------------------

    def _rows(self) -> list[Row]:
        """What is trained on: all of train where nothing of it needs to be held out."""
        train, held = list(self.parts.train), list(self.parts.held_out)
        return train if self.select == "held_out" else train + held

    def _selection_rows(self) -> list[Row]:
        if self.select == "last":
            return []
        rows = list(self.parts.held_out if self.select == "held_out" else self.parts.test)
        if not rows:
            raise DataError(
                f"there is no {self.select.replace('_', '-')} part to select on",
                where=str(self.manifest.path),
                fix="train.select=last",
            )
        return rows

    def _dataset(
        self, settings: RunConfig, stage: str, rows: Sequence[Row], *, training: bool = False
    ) -> RowDataset:
        declared, own = self.stages[stage], settings.for_stage(stage)
        return assemble.dataset(self.manifest, rows, own, declared, self.specs, training=training)

    # -- one stage -----------------------------------------------------------------------------

    def _start(self) -> dict[str, Tensor]:
        if self.init is None:
            return {}
        first = self.job.settings.stages[0]
        if not self._prefixes(first, self.job.settings.for_stage(first)):
            raise ConfigError(
                f"stage {first!r} of {self.job.settings.system!r} starts from no other weights",
                fix="leave out --init",
            )
        path = Path(self.init) / folder.MODEL
        return {keys.theirs(n): t for n, t in checkpoint.read_tensors(path).items()}

    def _train_stage(self, name: str, settings: RunConfig, handed: Mapping[str, Tensor]) -> Model:
        stage = self.stages[name]
        specs = self.specs if stage.supervised else {}
        rows = self._dataset(settings, name, self._rows(), training=True)
        torch.manual_seed(seed_for(settings.seed, name, "build"))
        model = assemble.build(stage, settings, specs)
        if handed and (prefixes := self._prefixes(name, settings)):
            prefixes += assemble.fitting(model, handed, self._same_tasks(name))
            new = assemble.receive(model, handed, prefixes)
            if self.ancestor is not None and name == self.job.settings.stages[0]:
                assemble.check_ground(model, self.ancestor)
            if not checkpoint.has_state(self.out / "state" / name):
                self.log.rewind(name, -1)  # a kill may have come between this line and a state
                line = {"stage": name, "step": 0, "started_from": len(handed), "new": new}
                self.log.write(line | {"left": assemble.left_behind(handed, prefixes)})
        front_end = model.front_end
        front_end.fit(infer.batches(rows, specs, _BATCH_FOR_SCORING, front_end))
        objective = assemble.make_objective(stage, settings, specs, rows)
        held = self._selection_rows()
        loop = Loop(
            model,
            objective,
            rows,
            specs=specs,
            config=settings.train,
            seed=settings.seed,
            place=self.out / "state" / name,
            score=self._score(settings, name, held, objective, specs) if held else None,
            label=name,
            labels_for_balance=assemble.classes(rows, specs)
            if stage.sampler == "balanced"
            else None,
            quiet=self.quiet,
        )
        loop.run(self.log)
        self.chosen = {"epoch": loop.course.best_epoch, "score": loop.course.best} if held else {}
        return loop.model

    def _prefixes(self, name: str, settings: RunConfig) -> tuple[str, ...]:
        """What the stage before this one hands on, or what this one takes of it."""
        takes = self.stages[name].takes
        if takes is not None:
            return takes(settings.model)
        order = list(self.stages)
        before = order[: order.index(name)]
        return self.stages[before[-1]].hands_on if before else self.stages[name].hands_on

    def _same_tasks(self, name: str) -> list[str]:
        """Tasks that the run this starts from learned in this stage, with the same labels."""
        own = self.job.settings
        if self.init is None or name != own.stages[0]:
            return []
        before = folder.read_config(Path(self.init))
        same = (before.system, before.stages[-1:]) == (own.system, [name])
        theirs = folder.read_labels(Path(self.init)) if same else {}
        return [task for task, spec in self.specs.items() if theirs.get(task) == spec]

    def _score(
        self,
        settings: RunConfig,
        stage: str,
        rows: Sequence[Row],
        objective: Objective,
        specs: Specs,
    ) -> Callable[[Model], tuple[float, dict[str, float]]]:
        held = self._dataset(settings, stage, rows)

        def by_tasks(model: Model) -> tuple[float, dict[str, float]]:
            found = infer.predict(model, held, specs, batch_size=_BATCH_FOR_SCORING)
            return score.selection(found, specs, settings.train.metric)

        def by_loss(model: Model) -> tuple[float, dict[str, float]]:
            terms = infer.mean_terms(model, held, objective, specs, batch_size=_BATCH_FOR_SCORING)
            return -terms["loss"], terms

        return by_tasks if specs else by_loss

    # -- the end -------------------------------------------------------------------------------

    def _finish(self, settings: RunConfig, model: Model) -> None:
        folder.write_model(self.out / folder.MODEL, model)
        records = towers.store(model, self.out, self_contained=self.self_contained)
        folder.write_labels(self.out, self.specs)
        rows, part = self.parts.test, "test"
        if not rows and self.select == "held_out":  # else it was trained on
            rows, part = self.parts.held_out, "held_out"
        metrics: dict[str, Any] = {}
        if rows and self.specs:
            held = self._dataset(settings, settings.stages[-1], rows)
            found = infer.predict(model, held, self.specs, batch_size=_BATCH_FOR_SCORING)
            answers.write(self.out / folder.PREDICTIONS, found, fold=self.job.fold)
            metrics = score.report(found, self.specs)
        head = {"part": part, "seed": settings.seed, "fold": self.job.fold, "select": self.select}
        head |= {"versions": folder.versions(), "notes": self._notes(settings)}
        checkpoint.write_json(self.out / folder.METRICS, head | {"tasks": metrics})
        card = self._card(settings, records)
        checkpoint.write_json(self.out / folder.CARD, self._identity() | card | {"finished": True})
        shutil.rmtree(self.out / "state", ignore_errors=True)

    def _identity(self) -> dict[str, Any]:
        """What makes this run this run and no other, apart from its configuration."""
        return {
            "data": self.manifest.fingerprint(),
            "fold": self.job.fold,
            "started_from": self.started_from,
        }

    def _notes(self, settings: RunConfig) -> list[str]:
        notes = []
        if self.select == "test":
            notes.append(score.CHOSEN_ON_TEST)
        if settings.data.random_split:
            notes.append(score.CUT_BY_CLIP)
        return notes

    def _card(self, settings: RunConfig, records: Mapping[str, Any]) -> dict[str, Any]:
        held = self._selection_rows()
        ancestors = [str(record.get("licence", "Apache-2.0")) for record in records.values()]
        if self.manifest.licence:
            ancestors.append(self.manifest.licence)
        if self.ancestor is not None:
            ancestors.append(str(self.ancestor["licence"]))
        first = self._dataset(settings, settings.stages[-1], self._rows())
        return {
            "system": settings.system,
            "preset": settings.preset,
            "seed": settings.seed,
            "versions": folder.versions(),
            "licence": folder.strictest(ancestors),
            "modalities": sorted(first.modalities),
            **seeing.record(first),
            "selection": {"part": self.select, "ids": [row.id for row in held], **self.chosen},
            "notes": self._notes(settings),
            "sizes": {
                "train": len(self._rows()),
                "held_out": len(held) if self.select == "held_out" else 0,
                "test": len(self.parts.test),
            },
            "towers": dict(records),
            "intended_use": INTENDED_USE,
        }
