"""Does memory grow with length? Two minutes and two hours of sound, measured and put in words.

The sound of a folder of clips over and over, as one WAV file. Each length is measured by `mien
data cues` in a process of its own. With ``--kill`` the long one is also killed (SIGKILL) after so
many seconds, as often as it takes to end, and the result compared with that of the one that was
left alone.

    python benchmarks/long_sound.py ../shared/data/ravdess_speech [--minutes 120] [--kill 30]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import wave
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

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


def joined(clips: list[Path], seconds: float, out: Path) -> Path:
    """Clips over and over, as one sound of 16 bits."""
    left = round(seconds * RATE)
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for clip in cycle(clips):
            samples = waveform(clip, RATE)[0][:left]
            file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
            left -= len(samples)
            if not left:
                return out
    raise ValueError("no clips")


def cued(folder: Path, name: str, sound: Path, kill: float | None) -> dict[str, Any]:
    """Measure one sound, killed every so many seconds until it ends."""
    manifest = folder / f"{name}.jsonl"
    manifest.write_text(json.dumps({"id": name, "audio": sound.name, "speaker": "x"}) + "\n")
    command = [sys.executable, "-c", MEASURE, str(manifest), "--window", "4", "-q"]
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
    parser.add_argument("--kill", type=float, help="seconds after which it is killed")
    given = parser.parse_args()
    clips = sorted(given.folder.rglob("*.flac"))[::7]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        found = {}
        for name, minutes in (("short", 2.0), ("long", given.minutes)):
            sound = joined(clips, 60 * minutes, folder / f"{name}.wav")
            found[name] = cued(folder, name, sound, None) | {"minutes": minutes}
        if given.kill:
            (folder / "killed.wav").symlink_to(folder / "long.wav")
            found["killed"] = cued(folder, "killed", folder / "killed.wav", given.kill)
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
