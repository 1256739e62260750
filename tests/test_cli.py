"""The verbs as they are typed: what they print, where, and how they end."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import corpora
import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from mien import cli, registry
from mien.data import synthetic
from mien.run import loop as loops

WIDTH = 80
FEATURES = ("claip-emo", "--preset", "features")
SHORT = ("epochs=1", "batch_size=8")


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed where."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of stdout as JSON: anything beside it is an error here."""
        return json.loads(self.out)


def type_in(*words: object) -> Said:
    """Type ``mien WORDS`` and see. An exception that `main` lets through is a traceback."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.argv", ["mien", *map(str, words)])
        patch.setenv("COLUMNS", str(WIDTH))
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    plain = [re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()) for stream in (out, err)]
    return Said(code, *plain)


def well(*words: object) -> Said:
    """A command that must end well."""
    said = type_in(*words)
    assert said.code == 0, said
    return said


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small corpus of features and a run on it."""
    home = tmp_path_factory.mktemp("home")
    corpus = synthetic.features(home, speakers=8, clips=4)
    well("train", *FEATURES, "--data", corpus, "--out", home / "run", "--quiet", *SHORT)
    return home


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows that are answered once a frame, and a run on them."""
    home = tmp_path_factory.mktemp("frames")
    data = corpora.frames(home)
    well("train", "toy-frames", "--data", data, "--out", home / "run", "-q", "epochs=1")
    return home


# -- help ------------------------------------------------------------------------------------------


def verbs(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from verbs(command, (*path, name))
        elif isinstance(command, TyperCommand):
            yield " ".join((*path, name)), command


ROOT = typer.main.get_command(cli.app)
assert isinstance(ROOT, TyperGroup)
VERBS = dict(verbs(ROOT))
every_verb = pytest.mark.parametrize("verb", VERBS)


def examples(verb: str) -> list[list[str]]:
    """The words of each example in a verb's help, after ``mien VERB``."""
    shown = re.findall(r"\[dim\](.+?)\[/dim\]", VERBS[verb].help or "", re.S)
    typed = [shlex.split(example) for example in shown]
    start = ["mien", *verb.split()]
    return [words[len(start) :] for words in typed if words[: len(start)] == start]


def test_the_verbs_are_these() -> None:
    assert set(VERBS) == {
        "demo", "systems", "train", "evaluate", "report", "predict", "pretrain", "convert",
        "doctor", "data check", "data import", "data prepare", "data synthetic", "data embed",
        "data features", "data submission", "data cues", "data align", "data scenes",
        "describe", "ask",
    }  # fmt: skip
    said = well("--help")
    for verb in VERBS:
        assert re.search(rf"\b{verb.split()[0]}\b", said.out)
    assert "AI Act" in " ".join(said.out.split())


@every_verb
def test_help_explains_every_word(verb: str) -> None:
    said = well(*verb.split(), "--help")
    for parameter in VERBS[verb].params:
        assert getattr(parameter, "help", None), f"{verb}: what is {parameter.name}?"
        for name in parameter.opts if parameter.param_type_name == "option" else []:
            assert name in said.out
    assert "--json" in said.out


@every_verb
def test_help_shows_a_command_that_can_be_typed(verb: str) -> None:
    found = examples(verb)
    assert found, f"{verb} shows no example"
    assert f"mien {verb}" in well(*verb.split(), "--help").out
    for words in found:  # this refuses unknown options and missing words
        VERBS[verb].make_context(verb, list(words))


def test_the_shell_command_is_this_program() -> None:
    (point,) = metadata.entry_points(group="console_scripts", name="mien")
    assert point.load() is cli.main
    assert well("--version").out.strip() == metadata.version("mien")


# -- systems and doctor ----------------------------------------------------------------------------


def test_systems_are_listed_with_paper_and_presets() -> None:
    said = well("systems")
    for name, system in registry.systems().items():
        assert f"\n{name}\n" in f"\n{said.out}"
        assert f"{system.preset(None)[0]} (default)" in said.out
    assert "In-the-Wild Audiovisual" in " ".join(said.out.split())
    assert max(map(len, said.out.splitlines())) <= WIDTH
    listed = {entry["name"]: entry for entry in well("systems", "--json").json}
    assert listed["claip-emo"]["default_preset"] in listed["claip-emo"]["presets"]


def test_a_card_is_shown_whole() -> None:
    said = well("systems", "claip-emo")
    (entry,) = well("systems", "claip-emo", "--json").json
    flowing = " ".join(said.out.split())
    for deviation in entry["card"]["deviations"]:
        assert f"- {deviation}" in flowing
    for key, reason in entry["card"]["our_choice"].items():
        assert re.search(rf"{re.escape(key)} +{re.escape(reason)}", flowing)
    for name, preset in entry["presets"].items():
        assert re.search(rf"{name} +{re.escape(preset['about'])}", flowing)
    assert max(map(len, said.out.splitlines())) <= WIDTH


def test_presets_are_counted() -> None:
    said = well("systems", "claip-emo", "--measure")
    counted = {e["preset"]: e for e in well("systems", "claip-emo", "--measure", "--json").json}
    assert counted["vit-b16"]["trainable"] < 0.05 * counted["vit-b16"]["total"]
    assert f"{counted['vit-b16']['total']:,}" in said.out
    assert counted["features"]["total"] is None


def test_the_schema_names_every_setting() -> None:
    schema = well("systems", "claip-emo", "--schema").json
    assert {"model", "data", "train", "seed"} <= set(schema["properties"])
    assert "modality_dropout" in schema["$defs"]["TrainConfig"]["properties"]


def test_the_doctor_says_what_there_is() -> None:
    said, facts = well("doctor"), well("doctor", "--json").json
    assert facts["versions"]["mien"] == metadata.version("mien")
    assert set(facts["plug_ins"]) >= {"toy-clip", "toy-frames"}
    for name, there in facts["towers"].items():
        assert re.search(rf"{name} +{'there' if there else 'not there'}", said.out)
        assert (f"hf download {name} --revision" in said.out) is not there
    assert f"{facts['cores']} cores" in said.out


# -- train, evaluate, predict ----------------------------------------------------------------------


def test_a_training_ends_with_scores_and_what_to_type_next(home: Path) -> None:
    again = well("train", *FEATURES, "--data", home / "corpus.jsonl", "--out", home / "run", *SHORT)
    assert re.search(r"^emotion: 8 clips of 2 groups$", again.out, re.M)
    assert f"mien predict MANIFEST --run {home / 'run'}" in again.out
    assert well("evaluate", home / "run").out.strip() == again.out.rpartition("\n\n")[0].strip()


def test_training_in_json_prints_nothing_else(home: Path, tmp_path: Path) -> None:
    words = (*FEATURES, "--data", home / "corpus.jsonl", "--out", tmp_path / "run", "--json")
    said = well("train", *words, *SHORT)
    assert said.json == json.loads((tmp_path / "run/metrics.json").read_text())
    assert said.err == ""
    # What the run was told can be told again.
    again = ("--config", tmp_path / "run/config.yaml", "--data", home / "corpus.jsonl")
    told = well("train", "claip-emo", *again, "--out", tmp_path / "again")
    assert re.search(r"classify: epoch +1/1", told.err)
    assert "epoch" not in told.out
    assert json.loads((tmp_path / "again/metrics.json").read_text())["tasks"] == said.json["tasks"]


def test_only_the_first_process_prints(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    words = (*FEATURES, "--data", home / "corpus.jsonl", "--out", home / "run")
    assert well("train", *words, *SHORT).out == ""


def test_folds_and_seeds_make_a_family(home: Path, tmp_path: Path) -> None:
    words = (*FEATURES, "--data", home / "corpus.jsonl", "--out", tmp_path / "family", "-q")
    said = well("train", *words, *SHORT, "--folds", "data.folds=2", "--seeds", "0,1")
    assert "over 2 seeds" in said.out
    assert f"mien evaluate {tmp_path / 'family'}" in said.out
    assert (tmp_path / "family/seed-1/fold-1/card.json").is_file()
    assert well("evaluate", tmp_path / "family", "--json").json["folds"] == [0, 1]


def test_an_interrupt_is_no_traceback_and_the_same_command_goes_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = loops.Loop._step

    def asked(self: loops.Loop, batches: Any) -> Any:
        if self.course.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batches)

    words = ("train", *FEATURES, "--data", home / "corpus.jsonl", "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(loops.Loop, "_step", asked)
        stopped = type_in(*words, "epochs=2", "batch_size=8")
    assert stopped.code != 0
    assert re.search(r"stopped at step 2 of 4; nothing is lost(.|\n)* goes on", stopped.err)
    assert "going on from step 2 of 4" in well(*words, "epochs=2", "batch_size=8").err


def test_evaluation_on_a_manifest_is_kept_where_asked(home: Path, tmp_path: Path) -> None:
    words = ("evaluate", home / "run", "--data", home / "corpus.jsonl")
    said = well(*words, "--json", "--out", tmp_path / "scores.json")
    assert said.json == json.loads((tmp_path / "scores.json").read_text())
    assert said.json["part"] == "test"


def test_a_report_is_a_page_and_its_numbers(home: Path, tmp_path: Path) -> None:
    said = well("report", home / "run", "--out", tmp_path / "page.html")
    assert said.out.split()[0] == str(tmp_path / "page.html")
    numbers = json.loads((tmp_path / "page.json").read_text())
    assert numbers["runs"][0]["tasks"]["emotion"]["clips"] == 8
    again = well("report", home / "run", "--out", tmp_path / "page.html", "--json")
    assert again.json == numbers
    said = type_in("report", home)
    assert (said.code, said.out) == (2, "")
    assert "not a run folder: it has no card.json" in said.err


def test_a_run_is_held_against_others(home: Path) -> None:
    said = well("evaluate", home / "run", "--against", home / "run", "--against", home / "run")
    assert "emotion: run minus run" in said.out
    assert "after Holm" in said.out
    assert "speakers or other groups (2) change places" in " ".join(said.out.split())


def test_predictions_are_a_line_a_clip(home: Path, tmp_path: Path) -> None:
    words = ("predict", home / "corpus.jsonl", "--run", home / "run", "--out", tmp_path / "t.jsonl")
    said, all_of_them = well(*words), well(*words, "--json").json
    assert re.search(r"^s00-c00  emotion: \w+ 0\.\d\d \(uncertainty 0\.\d\d\)$", said.out, re.M)
    assert "... and 12 more" in said.out
    assert f"32 timelines are in {tmp_path / 't.jsonl'}" in said.out
    kept = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert kept == all_of_them
    assert [timeline["source"] for timeline in kept[:2]] == ["s00-c00", "s00-c01"]


def test_what_a_clip_lacked_is_said(home: Path, tmp_path: Path) -> None:
    row = json.loads((home / "corpus.jsonl").read_text().splitlines()[0])
    other = row | {"id": "deaf", "features": {"video": row["features"]["video"]}}
    data = tmp_path / "two.jsonl"
    data.write_text(f"{json.dumps(row)}\n{json.dumps(other)}\n")
    first, second, *_ = well("predict", data, "--run", home / "run").out.splitlines()
    assert "without" not in first
    assert second.startswith("deaf ")
    assert second.endswith("[without audio]")


def test_a_long_clip_shows_its_surest_windows(frames: Path) -> None:
    words = ("predict", frames / "rows.jsonl", "--run", frames / "run")
    head, *windows = well(*words).out.splitlines()[:4]
    assert head == "video0  (5 windows, the 3 surest)"
    assert all(re.match(r"  +\d\.\d\d to +\d\.\d\d s  au: ", line) for line in windows)
    assert all("affect: valence" in line for line in windows)
    unsure = [float(re.findall(r"uncertainty (\d\.\d\d)", line)[0]) for line in windows]
    assert unsure == sorted(unsure)


# -- pretrain and demo -----------------------------------------------------------------------------


def test_pretraining_leads_to_training(tmp_path: Path) -> None:
    data = corpora.clips(tmp_path)
    first = well("pretrain", "toy-pretrain", "--data", data, "--out", tmp_path / "pre", "-q")
    assert f"mien train toy-pretrain --init {tmp_path / 'pre'}" in first.out
    again = well("pretrain", "toy-pretrain", "--data", data, "--out", tmp_path / "pre", "--json")
    assert again.json["tasks"] == {}
    words = ("--stage", "classify", "--init", tmp_path / "pre", "--data", data)
    said = well("train", "toy-pretrain", *words, "--out", tmp_path / "run", "--json")
    assert said.json["tasks"]["emotion"]["clips"] == 12
    begun = json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[0])
    assert begun["started_from"]
    assert all(name.startswith("network.heads.") for name in begun["new"])


def test_the_demo_tells_its_story(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    metrics = well("demo", "--small", "--out", out, "--json")
    assert metrics.err == ""
    assert list(metrics.json) == ["face alone", "voice alone", "both"]
    before = (out / "run-both/model.safetensors").stat().st_mtime_ns
    said = well("demo", "--small", "--out", out)  # nothing is drawn or trained again
    assert (out / "run-both/model.safetensors").stat().st_mtime_ns == before
    uar = dict(
        re.findall(r"^(face alone|voice alone|both) +(0\.\d\d)   0\.\d\d to", said.out, re.M)
    )
    for name, found in metrics.json.items():
        assert f"{found['tasks']['emotion']['scores']['uar']:.2f}" == uar[name]
    assert said.out.count("both - ") == 2
    assert [f"{k} of 7" in said.err for k in range(1, 8)] == [True] * 7
    assert max(len(line) for line in said.out.splitlines() if str(out) not in line) <= WIDTH
    assert (out / "report.html").stat().st_size > 10_000
    (looked,) = (out / "looked").glob("*.html")
    assert str(looked) in said.out
    (checked,) = [line for line in said.out.splitlines() if "data check" in line]
    well(*checked.split()[1:])


# -- data check ------------------------------------------------------------------------------------


def test_a_clean_manifest_passes(home: Path) -> None:
    assert "nothing is wrong" in well("data", "check", home / "corpus.jsonl").out
    said = well("data", "check", home / "corpus.jsonl", "--json")
    assert (said.json["ok"], said.json["warnings"], said.err) == (True, [], "")


def test_a_planted_leak_fails(home: Path) -> None:
    text = (home / "corpus.jsonl").read_text()
    (home / "leaky.jsonl").write_text(text.replace('"split": "train"', '"split": "test"', 1))
    said = type_in("data", "check", home / "leaky.jsonl")
    assert said.code == 1
    assert "a speaker is in test and train: s00" in said.out
    report = type_in("data", "check", home / "leaky.jsonl", "--json")
    assert (report.code, [w["kind"] for w in report.json["errors"]]) == (1, ["speaker leak"])


def test_a_missing_file_fails(home: Path) -> None:
    row = {"id": "a", "features": {"video": "nowhere.npy"}, "labels": {"emotion": "sad"}}
    (home / "missing.jsonl").write_text(json.dumps(row) + "\n")
    said = type_in("data", "check", home / "missing.jsonl")
    assert (said.code, "a (nowhere.npy)" in said.out) == (1, True)


def test_a_check_reads_as_a_configuration_says(home: Path) -> None:
    (home / "own.csv").write_text("key,actor\na,ann\nb,bob\n")
    (home / "own.yaml").write_text("data: {columns: {id: key, speaker: actor}}\n")
    words = ("data", "check", home / "own.csv", "--config", home / "own.yaml", "--json")
    assert well(*words).json["counts"]["speakers"] == 2


# -- errors ----------------------------------------------------------------------------------------

TRAIN = ("train", *FEATURES, "--data", "{home}/corpus.jsonl", "--out", "{home}/none")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("train", "claip-emmo", "--data", "x", "--out", "y"), "did you mean 'claip-emo'"),
        (("systems", "--schema"), "try: mien systems claip-emo --schema"),
        ((*TRAIN, "--preset", "featurs"), "did you mean 'features'?"),
        ((*TRAIN, "ephocs=3"), "did you mean 'epochs'"),
        ((*TRAIN, "epochs=many"), "train.epochs: Input should be a valid integer"),
        ((*TRAIN, "--stage", "clasify"), "did you mean 'classify'?"),
        ((*TRAIN, "--seeds", "a"), "try: --seeds 0,1,2"),
        ((*TRAIN, "--folds"), "try: data.folds=5"),
        ((*TRAIN, "data.tasks=[emotions]"), "did you mean 'emotion'?"),
        ((*TRAIN, "data.inputs.vidio=video"), "did you mean 'video'"),
        ((*TRAIN, "--config", "{home}/no.yaml"), "in: {home}/no.yaml"),
        ((*TRAIN, "--data", "{home}/no.jsonl"), "no such manifest\n  in: {home}/no.jsonl"),
        (("pretrain", *TRAIN[1:]), "try: mien train claip-emo"),
        (("data", "check", "{home}/broken.jsonl"), "did you mean 'speaker'?"),
        (("evaluate", "{home}/no"), "try: mien evaluate {home}/no --data MANIFEST"),
        (("predict", "{home}/corpus.jsonl", "--run", "{home}/no"), "try: mien train SYSTEM"),
        ((*TRAIN[:-1], "{home}/run", "lr=0.5"), "differs in train.epochs"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_an_error_says_what_to_do(words: tuple[str, ...], hint: str, home: Path) -> None:
    (home / "broken.jsonl").write_text('{"id": "a"}\n{"id": "b", "speeker": "ann"}\n')
    said = type_in(*(word.format(home=home) for word in words))
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert hint.format(home=home) in said.err
    assert len(said.err.splitlines()) <= 4
    assert not (home / "none").exists(), "a refused command leaves nothing behind"


@pytest.mark.parametrize("words", ["trian", "train claip-emo", "doctor --jsno"])
def test_a_mistyped_command_is_explained(words: str) -> None:
    said = type_in(*words.split())
    assert (said.code, said.out) == (2, "")
    assert "Usage: mien" in said.err
    assert re.search(r"Did you mean|Missing option|--json", said.err)


def test_a_start_that_fails_leaves_the_place_free(home: Path) -> None:
    words = ("train", "claip-emo", "--data", home / "corpus.jsonl", "--out", home / "again")
    assert type_in(*words, "--preset", "tiny", "-q").code == 2
    well(*words, "--preset", "features", "-q", "epochs=1")
