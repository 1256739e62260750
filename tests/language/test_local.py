"""A model in a folder: the real path through transformers, with weights that know nothing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import films
import numpy as np
import pytest
from small_talker import talker
from typer.testing import CliRunner

from mien.cli import app
from mien.errors import LanguageError
from mien.language.local import Local
from mien.language.talk import Message, Picture, Sound

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's code warns of what it will do


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talker(tmp_path_factory.mktemp("talker"))


def picture(grey: int) -> Picture:
    done, jpeg = cv2.imencode(".jpg", np.full((40, 60, 3), grey, np.uint8))
    assert done
    return Picture(jpeg.tobytes())


def test_it_reads_pictures_and_writes(folder: Path) -> None:
    model = Local(folder, longest=6)
    talk = [Message("system", ("a",)), Message("user", (picture(90), picture(200), "b c"))]
    reply = model.say(talk, {"type": "object"})
    assert reply == model.say(talk, {"type": "object"})  # the likeliest words, each time
    assert (reply.usage.written, reply.cut, model.name) == (6, True, folder.name)
    fewer = model.say([talk[0], Message("user", (picture(90), "b c"))], {"type": "object"})
    assert reply.usage.read - fewer.usage.read == 4  # positions of a picture


def test_what_it_cannot_take_is_said(folder: Path, tmp_path: Path) -> None:
    wav = films.wav(tmp_path / "x.wav", films.tone(0.1)).read_bytes()
    model = Local(folder, longest=4)
    with pytest.raises(LanguageError, match="cannot hear"):
        model.say([Message("user", (Sound(wav), "what?"))], {})
    with pytest.raises(LanguageError, match="cannot take it"):
        model.say([Message("user", (picture(1), "<image> too many"))], {})


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(LanguageError, match=r"config\.json is needed"):
        Local(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(LanguageError, match="cannot be loaded"):
        Local(tmp_path)


def test_nonsense_is_refused_as_such(folder: Path, tmp_path: Path) -> None:
    """`mien describe --local` from a film to a line: random weights write no JSON."""
    films.film(tmp_path / "a.mp4", seconds=0.2)
    (tmp_path / "clips.jsonl").write_text('{"id": "a", "video": "a.mp4"}\n')
    words = [tmp_path / "clips.jsonl", "--out", tmp_path / "d.jsonl", "--local", folder,
             "--pictures", 1, "--longest", 100, "--json"]  # fmt: skip
    done = CliRunner().invoke(app, ["describe", *map(str, words)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["counts"] == {"malformed": 1}
    (line,) = map(json.loads, (tmp_path / "d.jsonl").read_text().splitlines())
    assert (line["by"]["model"], line["by"]["attempts"]) == (folder.name, 3)
    assert line["spent"] > 300
