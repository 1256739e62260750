"""What this machine has: versions, accelerator, room, towers at hand, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mien.errors import MienError
from mien.parts import hub, towers
from mien.registry import ENTRY_POINTS
from mien.run.folder import read_card, versions

_GB = 1e9


def examine() -> dict[str, Any]:
    """Facts for `mien doctor`. Nothing is fetched."""
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

    gpus = _gpus()
    return {
        "versions": versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / _GB, 1),
        "torch_build": f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU",
        "nvidia_driver": shutil.which("nvidia-smi") is not None,
        "gpus": gpus,
        "bf16": bool(gpus) and torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        "offline": bool(HF_HUB_OFFLINE),
        "cache": str(HF_HUB_CACHE),
        "pocket": _pocket(),
        "towers": {name: _cached(name, known.revision) for name, known in towers.KNOWN.items()},
        "plug_ins": sorted(p.name for p in metadata.entry_points(group=ENTRY_POINTS)),
    }


def page(found: dict[str, Any]) -> str:
    """The facts as lines, with what to do about them."""
    facts = found["versions"] | {
        "machine": f"{found['system']}, {found['cores']} cores, {found['threads']} threads for "
        f"torch, {found['disk_free_gb']:,} GB free here",
        "torch build": found["torch_build"],
        "GPUs": ", ".join(found["gpus"]) or "none",
        "mien-pocket": found["pocket"] or "not installed",
        "towers": found["cache"] + (" (offline: nothing is fetched)" if found["offline"] else ""),
    }
    facts |= {
        f"  {name}": "there" if here else "not there" for name, here in found["towers"].items()
    }
    facts |= {"plug-ins": ", ".join(found["plug_ins"])} if found["plug_ins"] else {}
    width = max(map(len, facts))
    lines = [f"{name:<{width}}  {value}" for name, value in facts.items()]
    return "\n".join([*lines, "", *_advice(found)])


def _advice(found: dict[str, Any]) -> list[str]:
    if found["gpus"]:
        lines = ["Every preset can train here."]
    else:
        lines = [
            "No GPU: presets `pocket`, `laptop`, `features` and `tiny` train here, those with "
            "transformers want one."
        ]
    if not found["pocket"]:
        lines += ["mien-pocket answers where no run is named:", f"  {hub.GET_POCKET}"]
    if not found["gpus"] and found["nvidia_driver"]:
        lines += [
            f"There is an NVIDIA driver, but torch ({found['torch_build']}) sees no GPU:",
            "  install torch with CUDA, as its own page says, then mien",
        ]
    missing = [name for name, here in found["towers"].items() if not here]
    if missing:
        lines.append("Towers are fetched when first used; to have them before:")
        lines += [f"  {_fetch(name)}" for name in missing]
    return lines


def _gpus() -> list[str]:
    """Name and memory of each."""
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    gpus = [f"{device.name} ({device.total_memory / _GB:.0f} GB)" for device in devices]
    return gpus or (["Apple GPU"] if torch.backends.mps.is_available() else [])


def _pocket() -> str | None:
    """Version and licence of mien-pocket, where it is installed."""
    try:
        licence = read_card(hub.pocket()).get("licence", "")
        return f"{metadata.version('mien-pocket')}, {licence}"
    except (MienError, metadata.PackageNotFoundError):
        return None


def _cached(name: str, revision: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, hub.CONFIG, revision=revision), str)


def _fetch(name: str) -> str:
    return f"hf download {name} --revision {towers.KNOWN[name].revision}"
