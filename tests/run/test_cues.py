"""`mien data cues`: rows listened to once, whatever interrupts it, and put in words."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import films
import numpy as np
import pytest
from typer.testing import CliRunner
from vowels import RATE, silence, talk

import mien
from mien.cli import app
from mien.cues import files
from mien.cues.schema import Absence
from mien.cues.template import Template
from mien.data.manifest import Inline, Manifest, Row
from mien.data.prepare import Recipe
from mien.data.voice import Speech
from mien.run import cues as verb
from mien.run import heard
from mien.run.cued import CueReport
from mien.run.gathering import Asked
from mien.run.handed import Handed
from mien.run.hearing import Recogniser, Silero, finder
from mien.run.prepare import prepare


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody speaks, nobody does, there is no sound track, and no media at all."""
    folder = tmp_path_factory.mktemp("sounds")
    films.wav(folder / "talk.wav", np.concatenate([talk(), talk(), talk()]))
    films.wav(folder / "still.wav", silence(3))
    films.film(folder / "mute.mp4", seconds=2, audio=None)
    (folder / "broken.wav").write_bytes(b"RIFF, but no more")
    return folder


def manifest(folder: Path, *rows: Row) -> Path:
    return Manifest(rows, folder / "clips.jsonl").write(folder / "clips.jsonl").path


ROWS = (
    Row(id="talk", audio="talk.wav", speaker="ann", text="so it is", labels={"emotion": "sad"}),
    Row(id="still", audio="still.wav", speaker="ann"),
    Row(id="mute", video="mute.mp4", speaker="bob", text="read aloud"),
    Row(id="words", text="only words"),
    Row(id="empty", features={"other": Inline([1.0])}),
)


@pytest.fixture
def home(sounds: Path, tmp_path: Path) -> Path:
    for file in sounds.iterdir():
        (tmp_path / file.name).hardlink_to(file)
    return tmp_path


def asked(template: str = "published", rules: dict[str, Any] | None = None, **more: Any) -> Asked:
    return Asked(
        template=Template.read(template, rules),
        handed=more.pop("handed", Handed()),
        ears=more.pop("ears", verb.ears("energy")),
        **more,
    )


def cue(path: Path, given: Asked | None = None, **more: Any) -> CueReport:
    return verb.cue(path, given or asked(), quiet=True, **more)


def test_rows_get_prompts_and_keep_what_they_have(home: Path) -> None:
    report = cue(manifest(home, *ROWS))
    made = {row.id: row for row in Manifest.read(home / "clips.cues.jsonl").rows}
    assert list(made) == [row.id for row in ROWS]
    assert made["talk"].labels == {"emotion": "sad"}
    assert made["talk"].text == "Said: so it is | Voice: as usual"  # one recording, as a whole
    assert made["still"].text == "Said: nobody is speaking | Voice: nobody is speaking"
    assert made["mute"].text == "Said: read aloud | Voice: there is no sound track"
    assert made["words"].text == "Said: only words"
    assert made["empty"].text is None
    assert (report.rows, report.texts, report.silent, report.listened) == (5, 4, 1, 3)
    assert report.absences == {"no_speech": 1, "no_audio": 1}
    assert report.heard == pytest.approx(3 * len(talk()) / RATE + 3, abs=0.1)
    kept = {cues.id: cues for cues in files.read(report.cues)}
    assert kept["still"].absences() == {Absence.NO_SPEECH}
    assert kept["mute"].absences() == {Absence.NO_AUDIO}
    assert kept["mute"].end == pytest.approx(2, abs=0.1)
    assert len(kept["talk"].speech or ()) == 6
    assert kept["words"].sound is None


def test_a_broken_file_is_a_line_and_the_rest_goes_on(home: Path) -> None:
    path = manifest(home, Row(id="bad", audio="broken.wav"), ROWS[1])
    done = CliRunner().invoke(app, ["data", "cues", str(path), "-q"])
    assert done.exit_code == 1
    assert "left out: 1 rows" in done.stdout
    (line,) = (home / "clips.cues.errors.jsonl").read_text().splitlines()
    assert json.loads(line)["row"] == "bad"
    assert [row.id for row in Manifest.read(home / "clips.cues.jsonl").rows] == ["still"]
    with pytest.raises(mien.DataError, match="nothing came of any row"):
        cue(manifest(home, Row(id="bad", audio="broken.wav")))


def test_what_was_heard_is_never_heard_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = manifest(home, *ROWS)
    first = cue(path)
    text = first.cues.read_bytes(), first.manifest.read_bytes()
    monkeypatch.setattr(heard, "_blocks", lambda *given: pytest.fail("listened again"))
    again = cue(path)
    assert (again.listened, again.before) == (0, 3)
    assert (again.cues.read_bytes(), again.manifest.read_bytes()) == text
    told = cue(path, asked("detailed"))  # another template needs no ears
    assert told.cues == first.cues
    monkeypatch.undo()
    moved = manifest(home, Row(id="talk", audio="talk.wav", end=4.0))
    assert cue(moved).listened == 1  # other seconds are another clip


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_stopped_and_gone_on_with_is_the_same_to_the_bit(
    home: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long row is stopped within, with half a line on the disk."""
    monkeypatch.setattr(heard, "PART", 4)
    path = manifest(home, *ROWS)
    whole = cue(path, out=home / "whole.jsonl")
    add, added = heard.Journal.add, list[int]()

    def stops(journal: heard.Journal, part: heard.Part) -> None:
        add(journal, part)
        added.append(part.number)
        if len(added) == parts:
            with journal.path.open("a") as file:
                file.write('{"row": "talk", "clip"')
            raise KeyboardInterrupt

    monkeypatch.setattr(heard.Journal, "add", stops)
    with pytest.raises(mien.MienError, match="that is kept"):
        cue(path, out=home / "again.jsonl")
    monkeypatch.setattr(heard.Journal, "add", add)
    report = cue(path, out=home / "again.jsonl")
    assert report.cues.read_bytes() == whole.cues.read_bytes()
    assert (home / "again.jsonl").read_bytes() == (home / "whole.jsonl").read_bytes()
    lines = (home / "again" / "heard.jsonl").read_text().splitlines()
    assert lines == (home / "whole" / "heard.jsonl").read_text().splitlines()
    assert len(lines) == 9  # seven parts of the talk, and two other rows


def test_windows_have_prompts_of_their_own(home: Path) -> None:
    rows = (Row(id="talk", audio="talk.wav", start=0.5, end=24, labels={"emotion": "sad"}),)
    report = cue(manifest(home, *rows), asked(window=2.0, hop=1.0, rules={"around": 0.0}))
    made = Manifest.read(report.manifest).rows
    assert [row.id for row in made[:2]] == ["talk@0.500", "talk@1.500"]
    assert (made[1].start, made[1].end) == (1.5, 3.5)
    assert (made[-1].start, made[-1].end) == (23.5, 24.0)
    assert all(row.labels == {"emotion": "sad"} for row in made)
    texts = [row.text or "" for row in made]
    quiet = [Absence.NO_SPEECH in cues.absences() for cues in files.read(report.cues)]
    assert [text.startswith("Said: nobody is speaking") for text in texts] == quiet
    assert 0 < sum(quiet) < len(quiet)
    assert any("High pitch" in text for text in texts)
    assert any("Low pitch" in text for text in texts)


def test_levels_are_against_the_speaker_or_the_recording(home: Path) -> None:
    films.wav(home / "other.wav", 0.25 * np.concatenate([talk(), talk(), talk()]))
    rows = [Row(id=name, audio=f"{name}.wav", speaker="ann") for name in ("talk", "other")]

    def loud(against: str) -> list[float]:
        report = cue(manifest(home, *rows), asked(against=against))
        return [
            float(np.mean([h.score for h in cues.prosody or () if h.name == "energy"]))
            for cues in files.read(report.cues)
        ]

    by_speaker, by_source = loud("speaker"), loud("source")
    assert by_speaker[0] == pytest.approx(1, abs=0.1)  # of two loudnesses each is one away
    assert by_speaker[1] == pytest.approx(-1, abs=0.1)
    assert by_source == pytest.approx([0, 0], abs=0.1)


def test_prepared_sound_is_listened_to_and_vectors_are_not(home: Path) -> None:
    recipe = Recipe(rate=RATE, faces="none")
    made = prepare(manifest(home, ROWS[0]), recipe=recipe, jobs=0, quiet=True)
    prepared = Manifest.read(made.manifest)
    alone = [dataclasses.replace(row, audio=None) for row in prepared.rows]  # the file is gone
    moved = prepared.only(alone).write(home / "alone.jsonl").path
    (before,) = files.read(cue(manifest(home, ROWS[0])).cues)
    (after,) = files.read(cue(moved).cues)
    assert len(after.speech or ()) == len(before.speech or ()) == 6
    assert [h.value for h in after.prosody or () if h.name == "pitch"] == pytest.approx(
        [h.value for h in before.prosody or () if h.name == "pitch"], rel=0.01
    )
    vectors = Row(id="v", features={"audio": Inline(np.ones((3, 4)))}, text="so")
    report = cue(manifest(home, vectors))
    assert (report.listened, report.texts) == (0, 1)


# -- handed in -------------------------------------------------------------------------------------


def test_faces_transcripts_and_tones_are_found_by_name(home: Path) -> None:
    (home / "faces").mkdir()
    (home / "faces" / "talk.csv").write_text(
        "frame,timestamp,confidence,success,AU12_r,AU12_c\n1,1.0,0.9,1,3,1\n2,2,0.9,0,0,0\n"
    )
    (home / "said").mkdir()
    (home / "said" / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    (home / "said" / "still.txt").write_text("")
    tones = {"time": {"begin": 1, "end": 2}, "emotions": [{"name": "Joy", "score": 0.5}]}
    group = {"grouped_predictions": [{"id": "0", "predictions": [tones]}]}
    job = {"source": {}, "results": {"predictions": [
        {"file": "x/talk.wav", "models": {"prosody": group}}]}}  # fmt: skip
    (home / "job.json").write_text(json.dumps([job]))
    path = manifest(home, *ROWS)
    words = ["--faces", "faces", "--transcripts", "said", "--tones", "job.json", "--no-listen"]
    words = [str(home / word) if (home / word).exists() else word for word in words]
    done = CliRunner().invoke(app, ["data", "cues", str(path), *words, "--parquet", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["listened"] == 0
    made = {row.id: row.text for row in Manifest.read(home / "clips.cues.jsonl").rows}
    assert made["talk"] == "Said: Hello | Face: lip corner puller | Voice: High Joy"
    assert made["still"] == "Said: nobody is speaking | Voice: nobody is speaking"
    kept = {cues.id: cues for cues in files.read(home / "clips.cues" / "cues.parquet")}
    assert [face.present for face in kept["talk"].faces or ()] == [True, False]


def test_the_picture_may_go_on_after_the_sound(home: Path) -> None:
    (home / "faces").mkdir()
    (home / "faces" / "still.csv").write_text(
        "frame,timestamp,confidence,success,AU1_c\n1,1.0,0.9,1,0\n2,5.0,0.9,1,1\n3,9.0,0.9,1,1\n"
    )
    rows = Row(id="a", audio="still.wav"), Row(id="b", audio="still.wav", end=5.5)
    path = manifest(home, *rows, Row(id="c", audio="still.wav", start=1.0, end=60.0))
    report = cue(path, asked(handed=Handed.read(faces=home / "faces")))
    kept = list(files.read(report.cues))
    assert [[face.time for face in cues.faces or ()] for cues in kept] == [
        [1, 5, 9],
        [1, 5],
        [1, 5, 9],
    ]
    assert [(cues.start, cues.end) for cues in kept] == [(0, 9), (0, 5), (1, 9)]

    asked_in_windows = asked(handed=Handed.read(faces=home / "faces"), window=4.0)
    kept = list(files.read(cue(path, asked_in_windows).cues))
    assert [cues.id for cues in kept if cues.id[0] == "a"] == ["a@0.000", "a@4.000", "a@8.000"]
    times = [[face.time for face in cues.faces or ()] for cues in kept]
    assert times == [[1], [5], [], [1], [], [1], [5]]  # the window's end is not in it


def test_a_table_that_breaks_off_leaves_out_its_row_whole(home: Path) -> None:
    (home / "faces").mkdir()
    lines = ["frame,timestamp,confidence,success,AU1_c", *(f"{n},{n},0.9,1,0" for n in range(9))]
    (home / "faces" / "still.csv").write_text("\n".join([*lines, "9,nine,0.9,1,0"]))
    rows = Row(id="a", audio="still.wav"), Row(id="b", audio="talk.wav")
    given = asked(handed=Handed.read(faces=home / "faces"), window=2.0)
    report = cue(manifest(home, *rows), given)
    assert [loss.row for loss in report.errors] == ["a"]
    assert {row.id[0] for row in Manifest.read(report.manifest).rows} == {"b"}


def test_values_of_a_feature_and_what_they_usually_are(home: Path) -> None:
    values = np.full((12, 35), 0.2)
    values[:, 8] = np.linspace(0, 5, 12)  # AU12
    values[11] = 0
    rows = [Row(id=f"{n}", speaker="ann", features={"au": Inline(v)}) for n, v in enumerate(values)]
    path = manifest(home, *rows, Row(id="none", features={"other": Inline([1.0])}))
    given = asked("detailed", handed=Handed(vectors=("au", "openface")), ears=None)
    made = [row.text for row in Manifest.read(cue(path, given).manifest).rows]
    assert made[0] == "The face shows: much less lip corner puller."
    assert made[5] == "The face shows: what is usual."
    assert made[10] == "The face shows: much more lip corner puller."
    assert made[11] == made[12] == "The face shows: nothing, for there is no face."
    wrong = asked(handed=Handed(vectors=("au", "challenge")), ears=None)
    report = cue(path, wrong)
    assert len(report.errors) == 12
    assert "12 values" in report.errors[0].what


def test_a_timeline_of_a_run_gives_faces(home: Path) -> None:
    window = {"start": 0, "end": 2, "scores": {"au": {"AU1": 0.9, "AU2": 0.1}}}
    track = {"id": "face-1", "kind": "face", "windows": [window]}
    line = {"source": "films/mute.mp4", "tracks": [track]}
    (home / "lines.jsonl").write_text(json.dumps(line) + "\n")
    path = manifest(home, ROWS[2])
    words = ["--timelines", str(home / "lines.jsonl"), "--rule", "fields=V"]
    done = CliRunner().invoke(app, ["data", "cues", str(path), "-q", *words])
    assert done.exit_code == 0, done.output
    (row,) = Manifest.read(home / "clips.cues.jsonl").rows
    assert row.text == "Face: inner brow raiser"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rule", "field=T"], "did you mean 'fields'"),
        (["--rule", "fields=X"], "rules.fields"),
        (["--face-values", "au=openfce"], "did you mean 'openface'"),
        (["--faces", "nowhere"], "no such folder"),
        (["--voice", "silent"], "nothing finds speech"),
        (["--hop", "1"], "--window"),
        (["--window", "0"], "a window of 0"),
        (["--out", "clips.jsonl"], "would replace"),
        (["--template", "publishd"], "did you mean 'published'"),
    ],
)
def test_what_cannot_be_is_told(
    words: list[str], said: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    manifest(Path(), *ROWS)
    done = CliRunner().invoke(app, ["data", "cues", "clips.jsonl", "-q", *words])
    assert done.exit_code != 0
    assert said in (str(done.exception) + done.output)


# -- extras ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "extra"), [("silero_vad", "vad"), ("faster_whisper", "asr")])
def test_an_extra_that_is_missing_is_named(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(mien.MissingExtra, match=module) as error:
        finder("silero") if extra == "vad" else Recogniser("tiny")
    assert f"mien[{extra}]" in str(error.value.fix)


class LoudIterator:
    """Silero's interface: told 512 samples at a time, it says where speech begins and ends."""

    def __init__(self, model: str, **given: float) -> None:
        assert model == "weights"
        assert given == {"threshold": 0.6, "sampling_rate": 16_000, "min_silence_duration_ms": 200}
        self.seen, self.on = 0, False

    def __call__(self, chunk: Any) -> dict[str, int] | None:
        assert tuple(chunk.shape) == (512,)
        self.seen += 512
        loud = float(chunk.abs().max()) > 0.01
        if loud == self.on:
            return None
        self.on = loud
        return {"start": self.seen - 512} if loud else {"end": self.seen - 512}


def test_silero_listens_piece_by_piece(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    fake = SimpleNamespace(load_silero_vad=lambda: "weights", VADIterator=LoudIterator)
    monkeypatch.setitem(sys.modules, "silero_vad", fake)
    sound = np.concatenate([silence(1), np.full(RATE, 0.5, np.float32), silence(1), [0.5] * 9000])
    for size in (len(sound), 700):
        voice = finder("silero")(RATE, 10.0)
        found: list[Speech] = []
        for at in range(0, len(sound), size):
            before = voice.settled
            new = voice.feed(sound[at : at + size])
            assert all(speech.start >= before for speech in new)
            found += new
        found += voice.finish()
        ends = [time for speech in found for time in (speech.start, speech.end)]
        assert ends == pytest.approx([11, 12, 13, 10 + len(sound) / RATE], abs=0.04)
        assert voice.settled == float("inf")
    talker = finder("silero")(RATE, 0.0)
    pieces = talker.feed(np.full(12 * RATE, 0.5, np.float32)) + talker.finish()
    assert [speech.end - speech.start for speech in pieces] == pytest.approx([5, 5, 2], abs=0.1)
    assert [speech.end for speech in pieces[:-1]] == [speech.start for speech in pieces[1:]]
    with pytest.raises(mien.ConfigError, match="16,000"):
        Silero(LoudIterator, "weights", 8000)
    report = cue(manifest(home, ROWS[0]), asked(ears=verb.ears("silero")))
    assert next(iter(files.read(report.cues))).made_by["listening"].startswith("silero")


def test_whisper_writes_down_word_by_word(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    class Whisper:
        def __init__(self, model: str) -> None:
            assert model == "small"

        def transcribe(self, samples: Any, language: str | None, word_timestamps: bool) -> Any:
            assert samples.dtype == np.float32
            assert word_timestamps
            if np.abs(samples).max() < 0.01:
                return iter(()), None
            words = [SimpleNamespace(start=1.5, end=1.9, word=" Oh"),
                     SimpleNamespace(start=2.0, end=2.4, word=" my")]  # fmt: skip
            return iter([SimpleNamespace(start=1.5, end=2.4, text=" Oh my", words=words)]), None

    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=Whisper))
    rows = [Row(id=row.id, audio=row.audio) for row in ROWS[:2]]
    report = cue(manifest(home, *rows), asked(ears=verb.ears("energy", "small")))
    spoken, still = files.read(report.cues)
    assert [(t.start, t.end, t.text) for t in spoken.transcript or ()] == [
        (1.5, 1.9, "Oh"), (2.0, 2.4, "my"),
    ]  # fmt: skip
    assert still.transcript == ()
    texts = [row.text or "" for row in Manifest.read(report.manifest).rows]
    assert texts[0].startswith("Said: Oh my")
    assert texts[1].startswith("Said: nobody is speaking")
