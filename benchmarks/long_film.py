"""Does memory grow with length? Two minutes and two hours, measured and put in words.

The sound of a folder of clips over and over, as one WAV file; with ``--film`` as a film, whose
pictures are those of a clip over and over, and beside it a table of face values in the layout of
OpenFace, a line a frame, drawn at random. Each length is measured by `mien data cues` in a process
of its own. With ``--kill`` the long one is also killed (SIGKILL) after so many seconds, as often as
it takes to end, and the result compared with that of the one that was left alone.

    python benchmarks/long_film.py ../shared/data/ravdess_speech [--minutes 120] [--kill 30]
    python benchmarks/long_film.py ../shared/data/ravdess_speech --film CLIP.mp4 --kill 30
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from mien.cues.pitch import RATE
from mien.data.sound import waveform

MEASURE = """
import json, resource, sys, time
from mien.cli import main
began = time.perf_counter()
sys.argv = ["mien", "data", "cues", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([time.perf_counter() - began, time.process_time(), peak]), file=sys.stderr)
"""


UNITS = ("01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25")


def heard(clips: list[Path], seconds: float) -> Iterator[NDArray[np.int16]]:
    """Clips over and over, 16 bits."""
    left = round(seconds * RATE)
    for clip in cycle(clips):
        samples = waveform(clip, RATE)[0][:left]
        yield np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")
        left -= len(samples)
        if not left:
            return


def joined(clips: list[Path], seconds: float, out: Path) -> Path:
    """One sound."""
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for samples in heard(clips, seconds):
            file.writeframes(samples.tobytes())
    return out


def filmed(seen: Path, clips: list[Path], seconds: float, out: Path) -> Path:
    """A film whose pictures stay as they are compressed, and a table of face values beside it."""
    frames, at, sounds = 0, 0, heard(clips, seconds)
    with av.open(str(out), "w") as film, av.open(str(seen)) as given:
        pictures = given.streams.video[0]
        video = film.add_stream_from_template(pictures)
        audio = film.add_stream("aac", rate=RATE, layout="mono")
        rate, base = float(pictures.average_rate or 25), float(pictures.time_base or 1)
        while frames / rate < seconds:
            began = round(frames / rate / base)
            given.seek(0)
            for packet in given.demux(pictures):
                if packet.dts is None or packet.pts is None:  # the end
                    continue
                packet.dts, packet.pts, packet.stream = (
                    packet.dts + began,
                    packet.pts + began,
                    video,
                )
                film.mux(packet)
                frames += 1
            while at < frames / rate * RATE and (samples := next(sounds, None)) is not None:
                frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts = RATE, at
                at += len(samples)
                film.mux(audio.encode(frame))
        film.mux(audio.encode(None))
    values(out.parent / "faces" / f"{out.stem}.csv", frames, rate)
    return out


def values(path: Path, frames: int, rate: float) -> None:
    """A face in each frame, its action units drawn at random, as OpenFace writes them."""
    path.parent.mkdir(exist_ok=True)
    luck = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        strengths, there = [f"AU{unit}_r" for unit in UNITS], [f"AU{unit}_c" for unit in UNITS]
        table.writerow(["frame", "timestamp", "confidence", "success", *strengths, *there])
        for frame in range(frames):
            drawn = np.round(luck.uniform(0, 5, len(UNITS)), 2)
            present = (drawn > 2.5).astype(int)
            table.writerow([frame + 1, round(frame / rate, 3), 0.98, 1, *drawn, *present])


def cued(folder: Path, name: str, media: Path, kill: float | None) -> dict[str, Any]:
    """Measure one sound or film, killed every so many seconds until it ends."""
    manifest = folder / f"{name}.jsonl"
    faces = folder / "faces"
    kind = "video" if faces.is_dir() else "audio"
    manifest.write_text(json.dumps({"id": name, kind: media.name, "speaker": "x"}) + "\n")
    command = [sys.executable, "-c", MEASURE, str(manifest), "--window", "4", "-q"]
    command += ["--faces", str(faces)] if kind == "video" else []
    kills = 0
    while True:
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
            try:
                _, said = child.communicate(timeout=kill)
            except subprocess.TimeoutExpired:
                child.kill()
                kills += 1
                continue
        took, spent, peak = json.loads(said.decode().splitlines()[-1])
        made = (folder / f"{name}.cues.jsonl").read_bytes().replace(name.encode(), b"")
        return {
            "seconds": took, "cpu": spent, "peak MiB": peak, "kills": kills,
            "rows": made.count(b"\n"), "hash": hashlib.sha256(made).hexdigest()[:16],
        }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--film", type=Path, help="a clip whose pictures are seen")
    parser.add_argument("--kill", type=float, help="seconds after which it is killed")
    given = parser.parse_args()
    clips = sorted(given.folder.rglob("*.flac"))[::7]
    with tempfile.TemporaryDirectory() as made:
        folder, found = Path(made), {}
        for name, minutes in (("short", 2.0), ("long", given.minutes)):
            if given.film:
                media = filmed(given.film, clips, 60 * minutes, folder / f"{name}.mp4")
            else:
                media = joined(clips, 60 * minutes, folder / f"{name}.wav")
            found[name] = cued(folder, name, media, None) | {"minutes": minutes}
        if given.kill:
            killed = media.with_stem("killed")
            killed.symlink_to(media)
            if given.film:
                (folder / "faces" / "killed.csv").symlink_to(folder / "faces" / "long.csv")
            found["killed"] = cued(folder, "killed", killed, given.kill)
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
