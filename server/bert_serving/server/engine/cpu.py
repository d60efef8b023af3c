"""What the kernel says of this machine's CPU."""

from __future__ import annotations

from pathlib import Path


def cpu_flags() -> list[str]:
    """Its features, such as avx512_bf16; empty where the kernel does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return next((line for line in lines if line.startswith("flags")), "").split()
