"""`mien predict` over files: each is watched, said in words, and left as timelines and a page."""

from __future__ import annotations

import hashlib
import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mien.data import media, tables
from mien.data.faces import open_detector
from mien.data.turns import beside, read_turns
from mien.errors import ConfigError, DataError, Interrupted, MienError
from mien.notice import INTENDED_USE
from mien.report.page import page
from mien.run import checkpoint, folder, seeing, sequenced, workers
from mien.run.explain import How
from mien.run.load import Run, load
from mien.run.predict import Predictor, Watched
from mien.run.progress import Bar
from mien.run.say import lines
from mien.run.sequenced import SequencePredictor
from mien.run.witness import Witness
from mien.timelines import formats
from mien.timelines.summary import said
from mien.types import Specs, Timeline

_STILL = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")
ENDINGS = frozenset((*media.FILMS, *media.SOUNDS, *_STILL))
"""What is watched of a folder; a file that is named itself may end as it likes."""
FORMS = ("csv", "parquet", "json")  # the last is what says that a file is done
_DONE = "made_of"
_PATIENCE, _SLOWEST = 600.0, 1000.0  # seconds that a file may take, and bytes for each one more
_MEMORY = 4 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How files are watched; None: as the run was taught.

    Args:
        faces: who is asked about.
        person: the only one who is asked about, such as ``face-2``.
        detector: what finds them.
        face_weights: YuNet's file.
        window: seconds that are answered at once.
        hop: seconds from one window to the next.
        mouth: whether a voice may join the face whose mouth moves with it.
        turns: file that says who speaks when (RTTM, SRT, VTT); None: one beside the clip.
        who: speaker of a turn to face, such as ``anna`` to ``face-2``.
        frames: the run that makes vectors of frames, for one that reads them over time.
        batch_size: windows that are answered together.
        explain: also say why: which modality carried an answer, and when.
        cues: file of cues to show beside the answers.
    """

    faces: Literal["all", "largest"] = "all"
    person: str | None = None
    detector: Literal["auto", "yunet", "haar"] = "auto"
    face_weights: Path | None = None
    window: float | None = None
    hop: float | None = None
    mouth: bool = False
    turns: Path | None = None
    who: Mapping[str, str] = field(default_factory=dict)
    frames: Path | None = None
    batch_size: int = 8
    explain: bool = False
    cues: Path | None = None

    def __post_init__(self) -> None:
        for name in ("window", "hop"):
            value = getattr(self, name)
            if value is not None and not 0.2 <= value <= 60:
                raise ConfigError(f"--{name} is between 0.2 and 60 seconds, not {value:g}")


@dataclass(slots=True, kw_only=True)
class Harvest:
    """What came of a call: timelines in the order of the files, what failed, and all of it said."""

    timelines: list[Timeline]
    errors: list[MienError]
    text: str


def predict(
    paths: Sequence[Path],
    run: Path,
    *,
    out: Path | None = None,
    options: Options | None = None,
    jobs: int | None = None,
    again: bool = False,
    quiet: bool = False,
    labels: str | None = None,
) -> Harvest:
    """Answers about files, folders of files, and rows of manifests.

    What an earlier call left finished in a folder is not done again. A file that cannot be read is
    an error of its own, and the others go on.

    Args:
        paths: video, sound and picture files, folders that hold some, and manifests.
        run: a finished run.
        out: a folder for a page and timelines of each file, or one file for all timelines, in the
            format that its ending names; None: nothing is written.
        options: how to look.
        jobs: files at once, each in a process of its own; None: as many as this machine can.
        again: watch also what is finished.
        quiet: no progress.
        labels: a label set to answer with; for manifests.
    """
    files, manifests = _sorted_out(paths)
    if labels is not None and files:
        raise MienError(
            "other labels are for manifests of vectors",
            where=str(files[0]),
            fix="leave out --labels",
        )
    loaded = load(run, merge=True, labels=labels)
    job = _Job(run, options or Options(), loaded.specs)
    folder = out if out is not None and not out.suffix else None
    harvest = _watch(job, loaded, files, folder, jobs, again, quiet)
    rows = {path: job.said(loaded, path) for path in manifests}
    harvest.timelines += [timeline for found in rows.values() for timeline in found]
    if folder is not None:
        for path, found in rows.items():
            for form in FORMS:
                formats.write(_file(folder / path.stem, form), found, specs=loaded.specs)
    elif out is not None:
        formats.write(out, harvest.timelines, specs=loaded.specs)
    spoken = [harvest.text] + [lines(found, loaded.specs) for found in rows.values()]
    if harvest.timelines:
        spoken += [_where(len(harvest.timelines), out, folder)] if out is not None else []
    spoken.append(textwrap.fill(INTENDED_USE, 80))
    harvest.text = "\n\n".join(text for text in spoken if text)
    return harvest


def _watch(
    job: _Job,
    run: Run,
    files: Sequence[Path],
    out: Path | None,
    jobs: int | None,
    again: bool,
    quiet: bool,
) -> Harvest:
    names = [None if out is None else out / name for name in _names(files)]
    found: dict[int, Timeline] = {}
    for index, (path, stem) in enumerate(zip(files, names, strict=True)):
        kept = None if stem is None or again else job.finished(path, stem)
        if kept is not None:
            found[index] = kept
    earlier = len(found)
    left = [index for index in range(len(files)) if index not in found]
    errors: dict[int, MienError] = {}
    for number, result in _watched(job, run, [files[index] for index in left], jobs, quiet):
        index = left[number]
        stem = names[index]
        if isinstance(result, MienError):
            errors[index] = _blamed(result, files[index])
            continue
        found[index] = result.timeline
        if stem is not None:
            job.leave(files[index], stem, result)
    spoken = [said(found[index], job.specs) for index in sorted(found)]
    if earlier:
        spoken.append(f"{earlier} of {len(files)} were finished before (--again redoes them)")
    return Harvest(
        timelines=[found[index] for index in sorted(found)],
        errors=[errors[index] for index in sorted(errors)],
        text="\n\n".join(spoken),
    )


# -- which files -----------------------------------------------------------------------------------


def _sorted_out(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Media files, those in folders included, and manifests."""
    files: list[Path] = []
    manifests: list[Path] = []
    for path in paths:
        if not path.is_dir():
            (manifests if path.suffix.lower() in tables.SUFFIXES else files).append(path)
            continue
        within = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS)
        if not within:
            raise DataError(
                "there is no video, sound or picture in this folder",
                where=str(path),
                fix="name the files, or a manifest",
            )
        files += within
    return list(dict.fromkeys(files)), list(dict.fromkeys(manifests))


def _names(files: Sequence[Path]) -> list[str]:
    """What the results of each file are called: its stem, where only one has it."""
    stems = Counter(path.stem for path in files)
    names = [path.stem if stems[path.stem] == 1 else path.name for path in files]
    twice = Counter(names)
    unique = []
    for name, path in zip(names, files, strict=True):
        mark = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:6]
        unique.append(name if twice[name] == 1 else f"{name}-{mark}")
    return unique


# -- one file --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Job:
    """What every file is watched with. It travels to worker processes, the model does not."""

    run: Path
    options: Options
    specs: Specs

    def predictor(self, run: Run) -> Predictor:
        options = self.options
        frames: Run | None = None
        if sequenced.needed(run):
            frames = sequenced.frames_of(run, options.frames)
        elif options.frames is not None:
            raise ConfigError("this run looks at frames by itself", fix="leave out --frames")
        taught = seeing.view_of(run) if frames is None else sequenced.view_of(run, frames)
        view = replace(taught, faces=options.faces, person=options.person, mouth=options.mouth)
        if options.window is not None:
            view = replace(view, window=options.window, hop=options.window / 2)
        if options.hop is not None:
            view = replace(view, hop=options.hop)
        detector = None
        if "video" in view.modalities and not view.whole:
            detector = open_detector(options.detector, options.face_weights)
        if frames is not None and options.explain:
            raise ConfigError(
                "what a run over time says of a film is not explained while it is watched",
                fix="mien data features keeps the vectors; mien predict MANIFEST --explain",
            )
        if frames is not None:
            return SequencePredictor(run, frames, view, detector)
        how = How() if options.explain else None
        return Predictor(run, view, detector, batch_size=options.batch_size, how=how)

    def said(self, run: Run, path: Path) -> list[Timeline]:
        """What the run says of the rows of a manifest."""
        manifest = run.read(path)
        found = run.predict(manifest, explain=self.options.explain)
        if self.options.cues is None:
            return found
        own = [row.id for row in manifest.rows] if len(found) == len(manifest.rows) else []
        return Witness(self.options.cues).beside(found, own)

    def watch(self, predictor: Predictor, path: Path, progress: Any = None) -> Watched:
        turns = self.options.turns or beside(path)
        watched = predictor.predict(
            path,
            turns=read_turns(turns) if turns is not None else (),
            who=self.options.who,
            progress=progress,
        )
        if self.options.cues is None:
            return watched
        (timeline,) = Witness(self.options.cues).beside([watched.timeline])
        return replace(watched, timeline=timeline)

    def key(self, path: Path) -> str:
        """What a result depends on: the file, the runs, and how it was looked at."""
        frames, cues = self.options.frames, self.options.cues
        turns = self.options.turns or beside(path)
        parts = [
            checkpoint.digest(path),
            checkpoint.digest(self.run / folder.MODEL),
            "" if frames is None else checkpoint.digest(frames / folder.MODEL),
            repr(self.options),
            *("" if given is None else checkpoint.digest(given) for given in (turns, cues)),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def finished(self, path: Path, stem: Path) -> Timeline | None:
        """What an earlier call left, if it is whole and was made of the same."""
        kept = _file(stem, "json")
        if not kept.is_file() or not path.is_file() or not _file(stem, "html").is_file():
            return None
        try:
            (timeline,) = formats.read(kept)
        except (MienError, ValueError):
            return None
        return timeline if timeline.made_by.get(_DONE) == self.key(path) else None

    def leave(self, path: Path, stem: Path, watched: Watched) -> None:
        """Write timelines and page; the JSON comes last and says that all is there."""
        made = {**watched.timeline.made_by, _DONE: self.key(path)}
        timeline = replace(watched.timeline, made_by=made)
        beside_page = os.path.relpath(path.absolute(), stem.parent.absolute())
        html = page(
            watched.timeline,
            self.specs,
            media=Path(beside_page).as_posix(),
            thumbnails=watched.thumbnails,
            notice=INTENDED_USE,
        )
        checkpoint.write_bytes(_file(stem, "html"), html.encode())
        for form in FORMS:
            formats.write(_file(stem, form), [timeline], specs=self.specs)


def _file(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}.{ending}")


# -- many files ------------------------------------------------------------------------------------


def _watched(
    job: _Job, run: Run, files: Sequence[Path], jobs: int | None, quiet: bool
) -> Iterator[tuple[int, Watched | MienError]]:
    """Results as they come: one file here, with its own progress, several in worker processes."""
    if not files:
        return
    try:
        if len(files) == 1 and jobs is None:
            yield 0, _one(job, run, files[0], quiet)
        else:
            yield from _several(job, files, jobs, quiet)
    except KeyboardInterrupt:
        raise Interrupted(
            "stopped; what is finished is kept", fix="the same command goes on from here"
        ) from None


def _one(job: _Job, run: Run, path: Path, quiet: bool) -> Watched | MienError:
    try:
        seconds = media.probe(path).duration
        with Bar(path.name, max(1, round(seconds)), unit="s", quiet=quiet) as bar:
            clock = _Clock(bar)
            return job.watch(job.predictor(run), path, clock.now)
    except MienError as error:
        return error


class _Clock:
    """Moves a bar along the seconds of a file."""

    def __init__(self, bar: Bar) -> None:
        import time

        self._bar, self._shown = bar, 0
        self._started, self._time = time.monotonic(), time.monotonic

    def now(self, seconds: float) -> None:
        """So far have we come."""
        steps = int(seconds) - self._shown
        if steps > 0:
            self._shown += steps
            rate = self._shown / max(self._time() - self._started, 1e-3)
            self._bar.advance("", rate=rate, steps=steps)


_AT_WORK: dict[str, tuple[_Job, Predictor]] = {}
"""In a worker process: the one predictor that it loaded."""


def _prepare(job: _Job) -> None:
    _AT_WORK["predictor"] = (job, job.predictor(load(job.run, merge=True)))


def _task(path: Path) -> Watched:
    job, predictor = _AT_WORK["predictor"]
    return job.watch(predictor, path)


def _several(
    job: _Job, files: Sequence[Path], jobs: int | None, quiet: bool
) -> Iterator[tuple[int, Watched | MienError]]:
    results = workers.over(
        _task, files, jobs=jobs, start=partial(_prepare, job), seconds=_patience, memory=_MEMORY,
    )  # fmt: skip
    with Bar("predict", len(files), unit="files", quiet=quiet) as bar:
        for index, result in results:
            bar.advance(files[index].name, rate=0)
            yield index, result


def _patience(path: Path) -> float:
    """Seconds that a file may take, by its size: nobody looks into it in this process."""
    try:
        return _PATIENCE + path.stat().st_size / _SLOWEST
    except OSError:
        return _PATIENCE


# -- words -----------------------------------------------------------------------------------------


def _blamed(error: MienError, path: Path) -> MienError:
    if error.where:
        return error
    return DataError(error.what, where=str(path), fix=error.fix)


def _where(count: int, out: Path, folder: Path | None) -> str:
    what = "1 timeline is" if count == 1 else f"{count} timelines are"
    if folder is None:
        return f"{what} in {out}"
    return f"{what} in {out}: of each file a page (.html), and .json, .csv, .parquet"
