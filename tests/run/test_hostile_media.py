"""Damaged and forged media through workers: each file gives a result or one clear line."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import films
import mutants
import pytest
import readings

from mien.data import frames, media, sound
from mien.errors import DataError
from mien.run.workers import over

FILES, SECONDS, MEMORY = 2 * len(mutants.MUTATIONS), 20.0, 3 * 2**29


def read(paths: list[Path]) -> list[Any]:
    results: list[Any] = [None] * len(paths)
    for index, result in over(readings.read, paths, seconds=SECONDS, memory=MEMORY):
        results[index] = result
    return results


def test_every_mutant_is_read_or_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = mutants.make(tmp_path / "files", FILES)
    results = read([mutant.path for mutant in made])
    for mutant, result in zip(made, results, strict=True):
        assert isinstance(result, readings.Reading), (mutant, str(result))
        for error in result.errors:
            assert not readings.unclear(error, mutant.path), (mutant, error)
            assert mutants.SECRET not in error
        assert result.errors or not result.is_empty, mutant
        assert result.peak < MEMORY, (mutant, result)
    read_anyway = sum(not result.is_empty for result in results)
    assert FILES // 4 < read_anyway < FILES, "damage is forgiven where a player would"
    assert capfd.readouterr() == ("", "")


def test_what_mutants_are_made_from_can_be_read(tmp_path: Path) -> None:
    real = mutants.sources(tmp_path)
    for name, result in zip(real, read(list(real.values())), strict=True):
        has_picture = not name.startswith("sound.")
        has_sound = not name.startswith(("still.", "moving."))
        assert bool(result.frames) == has_picture, (name, result)
        assert bool(result.samples) == has_sound, (name, result)


@pytest.mark.shared
def test_the_beginnings_of_real_films(tmp_path: Path, shared: Path) -> None:
    clips = sorted((shared / "data" / "clips").iterdir())
    for path in clips:
        (tmp_path / path.name).write_bytes(path.read_bytes()[:300_000])
    for path, result in zip(clips, read([tmp_path / path.name for path in clips]), strict=True):
        assert isinstance(result, readings.Reading), path
        assert all(not readings.unclear(error, path) for error in result.errors), result


@pytest.mark.parametrize("suffix", sorted(mutants.LISTS))
@pytest.mark.parametrize("shown", ["", ".mp4"])
def test_a_playlist_opens_no_other_file_and_no_host(
    tmp_path: Path, suffix: str, shown: str
) -> None:
    film = films.film(tmp_path / "film.ts", audio=films.tone(1.0))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        for target in (f"http://127.0.0.1:{port}/a.ts", "film.ts", film, f"file:{film}"):
            path = tmp_path / f"list{shown or suffix}"
            path.write_text(mutants.LISTS[suffix].format(target), encoding="utf-8")
            with pytest.raises(DataError):
                media.probe(path)
            with pytest.raises(DataError):
                list(frames.sampled(path, 25))
            with pytest.raises(DataError):
                list(sound.blocks(path, 16_000))
        with pytest.raises(BlockingIOError):  # nobody came
            server.accept()


def test_mutants_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (mutants.make(tmp_path / name / "files", 40, first=100) for name in ("one", "two"))
    assert [mutant.kind for mutant in one] == [mutant.kind for mutant in two]
    same = 0
    for first, second in zip(one, two, strict=True):
        if first.path.is_file() and first.path.stat().st_size < 2**24:
            same += first.path.read_bytes() == second.path.read_bytes()
    # Playlists name files by their place, and encoders do not always write the same bytes; the
    # sources they make are few.
    assert same >= 16
