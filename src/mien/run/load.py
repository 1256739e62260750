"""A run, back in memory: ``mien.load(run)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from mien import registry
from mien.config import RunConfig
from mien.data import tables
from mien.data.batch import RowDataset
from mien.data.manifest import Manifest, Row
from mien.data.windows import SampleWindows
from mien.errors import DataError, RunError, did_you_mean
from mien.parts import adapters, hub, towers
from mien.parts import labels as label_sets
from mien.parts.model import FrontEnd, Model
from mien.run import assemble, folder, infer
from mien.run import explain as explaining
from mien.run.explain import Explained, How
from mien.run.live import Live
from mien.types import Sample, Specs, Stage, Timeline, Track, Window

POCKET = "pocket"
"""What the run of mien-pocket is called."""


class Run:
    """A finished run: its model with everything that belongs to it.

    Attributes:
        model: the network; ``run.model(**{modality: tensor after the front end})`` gives an Output.
        front_end: recorded tensors and masks to model tensors and masks.
        specs: the tasks by name.
        card: what it was trained on and how, and under which licence.
    """

    def __init__(
        self, path: Path, settings: RunConfig, specs: Specs, card: Mapping[str, Any], whole: Model
    ) -> None:
        self.path, self.settings, self.specs, self.card = path, settings, specs, card
        self.whole = whole

    @property
    def model(self) -> nn.Module:
        """The network, without its front end."""
        return self.whole.network

    @property
    def front_end(self) -> FrontEnd:
        """What prepares recorded tensors for the network."""
        return self.whole.front_end

    @property
    def stage(self) -> Stage:
        """The last stage that was trained."""
        stages: dict[str, Stage] = registry.system(self.settings.system).load().STAGES
        return stages[self.settings.stages[-1]]

    def predict(
        self,
        data: str | Path | Manifest | Sequence[Mapping[str, Any]],
        *,
        batch_size: int = 32,
        explain: bool | How = False,
    ) -> list[Timeline]:
        """What the run says of each row of a manifest, or of clips given as arrays.

        Args:
            data: a video, sound or picture file; a manifest or its path; or a sequence of
                ``{modality: array (L, ...)}``, where a modality that is left out is absent.
            batch_size: clips at once; it changes no result.
            explain: also say why, in the windows' ``evidence``: which modality carried an answer,
                and when. It takes some ten to thirty further answers to each.

        Returns:
            One timeline a source, in order.
        """
        if not self.specs:
            raise RunError(
                "this run learned no task",
                where=str(self.path),
                fix=f"mien train {self.settings.system} --init {self.path}",
            )
        how = explain if isinstance(explain, How) else How() if explain else None
        if isinstance(data, (str, Path)) and Path(data).suffix.lower() not in tables.SUFFIXES:
            from mien.run.predict import Predictor  # which is built on this module

            watching = Predictor.of(self, batch_size=batch_size, how=how)
            return [watching.predict(data).timeline]
        if isinstance(data, (str, Path)):
            data = self.read(data)
        given, rows = self._samples(data)
        found = infer.predict(self.whole, given, self.specs, batch_size=batch_size)
        timelines = _timelines(found, self.specs, self.made_by(), rows)
        if how is None:
            return timelines
        spans = [(t.tracks[0].windows[0].start, t.tracks[0].windows[-1].end) for t in timelines]
        explained = explaining.explain(
            self.whole,
            explaining.subjects_of(given, self.front_end),
            found,
            self.specs,
            [end - start for start, end in spans],
            how,
            batch_size=batch_size,
        )
        pairs = zip(timelines, explained, spans, strict=True)
        return [_explained(timeline, why, span, how) for timeline, why, span in pairs]

    def _samples(
        self, data: Manifest | Sequence[Mapping[str, Any]]
    ) -> tuple[Dataset[Sample], Mapping[str, Row]]:
        """What is given as samples, and the rows by name where it is a manifest."""
        if isinstance(data, Manifest):
            return self.dataset(data, data.rows), {row.id: row for row in data.rows}
        given: Dataset[Sample] = _Arrays(data, self.stage)
        if self.stage.windows is not None:
            settings = self.settings.for_stage(self.settings.stages[-1])
            given = SampleWindows(
                [given[i] for i in range(len(data))], self.stage.windows(settings.model, False)
            )
        return given, {}

    def live(self) -> Live:
        """The run, ready to be given vectors of frames one after another (see :class:`Live`)."""
        return Live(self)

    def read(self, path: str | Path) -> Manifest:
        """Read a manifest with the columns and names this run was trained with."""
        data = self.settings.data
        root = Path(data.root) if data.root else None
        if root is not None and not Path(path).absolute().is_relative_to(root.absolute()):
            root = None  # it held the training data, and says nothing of others
        return Manifest.read(Path(path), columns=data.columns, root=root, rename=data.rename)

    def dataset(self, manifest: Manifest, rows: Sequence[Row]) -> RowDataset:
        """Rows as this run reads them."""
        settings = self.settings.for_stage(self.settings.stages[-1])
        return assemble.dataset(manifest, rows, settings, self.stage, self.specs)

    def relabel(self, labels: str | Path | Mapping[str, Any]) -> None:
        """Answer one task with other labels from now on, from their texts; nothing is trained.

        Args:
            labels: a known label set, a YAML or TOML file of one, or its values (see
                :mod:`mien.parts.labels`).

        Raises:
            RunError: this run knows its labels by number only.
        """
        given = label_sets.named(labels)
        network: Any = self.model
        if not hasattr(network, "relabel"):
            raise RunError(
                f"{self.settings.system} knows its labels by number, not by what they say",
                where=str(self.path),
                fix="mien train mer-clip makes a run that answers with other labels",
            )
        task = given.task or next(iter(self.specs))
        if task not in self.specs:
            raise RunError(f"this run has no task {task!r}: {did_you_mean(task, self.specs)}")
        if given.task is None and len(self.specs) > 1:
            raise RunError(
                f"whose labels are these? The run has {len(self.specs)} tasks",
                fix=f"task: {task}   (in the label set)",
            )
        self.specs = {**self.specs, task: network.relabel(task, given)}

    def made_by(self) -> dict[str, str]:
        """What a timeline says of the run that made it."""
        return {
            "run": self.path.name,
            "system": self.settings.system,
            "preset": self.settings.preset,
            "mien": str(self.card.get("versions", {}).get("mien", "")),
            "licence": str(self.card.get("licence", "")),
        }


def load(
    run: str | Path,
    *,
    device: str | torch.device = "cpu",
    merge: bool = False,
    labels: str | Path | Mapping[str, Any] | None = None,
) -> Run:
    """Load a finished run from its folder.

    Towers come from the run where it holds them, else from the place and revision its card
    names, checked by hash. Every tensor is accounted for; nothing is unpickled.

    Args:
        run: the folder that ``mien train --out`` made; ``"pocket"`` is the small model of the
            distribution mien-pocket.
        device: where to put the model.
        merge: fold adapters into the weights they adapt: the same answers, a little sooner.
        labels: other labels to answer with (see :meth:`Run.relabel`); None: those of training.
    """
    path = hub.pocket() if str(run) == POCKET else Path(run)
    folder.member(path, "")
    settings = folder.read_config(path)
    card, specs = folder.read_card(path), folder.read_labels(path)
    stages = registry.system(settings.system).load().STAGES
    if not settings.stages or settings.stages[-1] not in stages:
        raise RunError(f"{settings.system!r} has no stages {settings.stages}", where=str(path))
    stage = stages[settings.stages[-1]]
    final = settings.for_stage(settings.stages[-1])
    with towers.using(_records(card, path), path):
        try:
            model = assemble.build(stage, final, specs if stage.supervised else {})
        except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:  # torch says no
            what = f"its settings make no {settings.system} model: {error}"
            raise RunError(what, where=str(path / folder.CONFIG)) from error
    folder.read_model(path / folder.MODEL, model)
    if merge:
        adapters.merge(model)
    loaded = Run(path, settings, specs, card, model.to(device).eval())
    if labels is not None:
        loaded.relabel(labels)
    return loaded


def _records(card: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """What the card says of each tower."""
    records = card.get("towers")
    if not isinstance(records, dict) or not all(isinstance(r, dict) for r in records.values()):
        raise RunError("its card does not say which towers it has", where=str(path))
    return records


class _Arrays(Dataset[Sample]):
    """Clips given as arrays, checked against what the stage reads."""

    def __init__(self, clips: Sequence[Mapping[str, Any]], stage: Stage) -> None:
        self.clips = clips
        for index, clip in enumerate(clips):
            for name in clip:
                if name not in stage.modalities:
                    raise DataError(
                        f"there is no modality {name!r}: {did_you_mean(name, stage.modalities)}",
                        where=f"clip {index}",
                    )
            if not any(np.size(value) for value in clip.values()):
                raise DataError("there is nothing in this clip", where=f"clip {index}")

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Sample:
        if index >= len(self):
            raise IndexError(index)
        arrays = {name: np.asarray(value) for name, value in self.clips[index].items()}
        given = {name: array for name, array in arrays.items() if array.size}
        return Sample(id=f"clip-{index}", inputs=given)


def _timelines(
    found: infer.Predictions, specs: Specs, made_by: Mapping[str, str], rows: Mapping[str, Row]
) -> list[Timeline]:
    timelines = []
    for index, name in enumerate(found.ids):
        row = rows.get(name)
        windows = _windows(found, index, specs, row)
        if found.members:
            row = None  # a dialogue has several speakers
            windows = _when_said(windows, [rows[member] for member in found.members[index]])
        source = (row.video or row.audio) if row is not None else None
        track = Track(id=(row.person or row.speaker or "clip") if row else "clip", windows=windows)
        timelines.append(Timeline(source=str(source or name), tracks=[track], made_by=made_by))
    return timelines


def _when_said(windows: Sequence[Window], rows: Sequence[Row]) -> list[Window]:
    """Utterances at the times that their rows state, where all of them do."""
    spans = [(row.start, row.end) for row in rows]
    timed = [(start, end) for start, end in spans if start is not None and end is not None]
    if len(timed) < len(windows):
        return list(windows)
    return [
        replace(window, start=start, end=end)
        for window, (start, end) in zip(windows, timed, strict=True)
    ]


def _explained(timeline: Timeline, why: Explained, span: tuple[float, float], how: How) -> Timeline:
    """A row's timeline with the reasons of its windows."""
    (track,) = timeline.tracks
    few = len(track.windows) > 1
    windows = [
        replace(window, evidence=why.evidence(position, *span, how, few=few))
        if window.scores and any(window.present.values())
        else window  # what is said of a moment in which nothing was there is said by its neighbours
        for position, window in enumerate(track.windows)
    ]
    made = {**timeline.made_by, **how.made_by(why.asked)}
    return replace(timeline, tracks=[replace(track, windows=windows)], made_by=made)


def _windows(found: infer.Predictions, index: int, specs: Specs, row: Row | None) -> list[Window]:
    count = max(len(found.tasks[name].scores[index]) for name in specs)
    edges = _edges(found.times[index], count, row)
    windows = []
    for position in range(count):
        scores, unsure = found.said(index, position, specs)
        windows.append(
            Window(
                start=edges[position],
                end=edges[position + 1],
                scores=scores,
                uncertainty=unsure,
                present=found.present_at(index, position),
            )
        )
    return windows


def _edges(times: infer.Floats | None, count: int, row: Row | None) -> list[float]:
    """Starts of the windows and the end of the last; without times, positions are seconds."""
    start = float(row.start or 0.0) if row is not None else 0.0
    known = times is not None and len(times) >= count and bool(np.isfinite(times[:count]).all())
    if count == 1:
        seen = times[np.isfinite(times)] if known and times is not None else np.zeros(1)
        end = start + float(seen[-1] + np.diff(seen[-2:]).sum())  # the last lasts like the others
        if row is not None and row.end is not None:
            end = float(row.end)
        return [start + float(seen[0]), end]
    if not known or times is None:
        return [start + position for position in range(count + 1)]
    steps = np.diff(times[:count])
    return [start + float(t) for t in times[:count]] + [start + float(times[count - 1] + steps[-1])]
