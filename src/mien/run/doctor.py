"""What this machine has: versions, accelerator, optional parts, and what to install."""

from __future__ import annotations

import os
import platform
from importlib import metadata, util
from typing import Any

_OPTIONAL = {"plotly": "report", "fastapi": "serve", "faster_whisper": "asr", "onnx": "onnx"}


def examine() -> dict[str, Any]:
    """Facts for `mien doctor`."""
    import torch

    from mien.run.folder import versions

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "versions": versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch_build": (torch.version.cuda and f"CUDA {torch.version.cuda}") or "CPU",
        "gpus": gpus,
        "bf16": bool(gpus) and torch.cuda.is_bf16_supported(),
        "offline": os.environ.get("HF_HUB_OFFLINE") == "1",
        "cache": os.environ.get("HF_HOME", "~/.cache/huggingface"),
        "missing_optional": [name for name in _OPTIONAL if util.find_spec(name) is None],
        "plug_ins": [p.name for p in metadata.entry_points(group="mien.systems")],
    }


def page(found: dict[str, Any]) -> str:
    """The facts as lines, with what to do about them."""
    lines = [f"{name:<13} {value}" for name, value in found["versions"].items()]
    lines += [f"{'machine':<13} {found['system']}, {found['cores']} cores"]
    lines += [
        f"{'torch build':<13} {found['torch_build']}; GPUs: {', '.join(found['gpus']) or 'none'}"
    ]
    if not found["gpus"]:
        lines += ["", "No GPU is in use: presets `features` and `tiny` train here, vit-* want one."]
    if found["offline"]:
        lines += [f"Offline: towers come from local folders or the cache ({found['cache']})."]
    return "\n".join(lines)
