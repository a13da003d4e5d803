"""What the machine was and how fast it was clocked, as far as it tells."""

import subprocess
from pathlib import Path
from typing import Any

import torch

_GPU_QUERY = (
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "clocks_throttle_reasons.active",
    "power.draw",
    "power.limit",
    "temperature.gpu",
    "driver_version",
)


def describe(device: torch.device) -> dict[str, Any]:
    """Device, libraries and number formats that decide about speed, for the provenance."""
    known: dict[str, Any] = {
        "device": device.type,
        "device_name": None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkl": torch.backends.mkl.is_available(),
        "onednn": torch.backends.mkldnn.is_available(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if device.type == "cuda":
        known |= {
            "device_name": torch.cuda.get_device_name(device),
            "device_memory_bytes": torch.cuda.get_device_properties(device).total_memory,
            "compute_capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return known


def clocks(device: str) -> dict[str, str] | None:
    """Clock rates now: of the GPU by nvidia-smi, of the CPU from /proc/cpuinfo; None where they cannot be read."""
    if device != "cpu" and torch.cuda.is_available():
        return _gpu_clocks()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    rates = [line.split(":", 1)[1].strip() for line in lines if line.startswith("cpu MHz")]
    return {"cpu MHz": ", ".join(rates)} if rates else None


def _gpu_clocks() -> dict[str, str] | None:
    uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
    which = [] if uuid is None else [f"--id=GPU-{uuid}"]
    command = ["nvidia-smi", *which, f"--query-gpu={','.join(_GPU_QUERY)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    values = [value.strip() for value in answer.splitlines()[0].split(",")] if answer.strip() else []
    return dict(zip(_GPU_QUERY, values, strict=True)) if len(values) == len(_GPU_QUERY) else None
