"""What the kernel reports about this machine's CPU."""

from __future__ import annotations

from pathlib import Path


def cpu_flags() -> list[str]:
    """Its features, such as avx512_bf16; empty where the kernel does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return next((line for line in lines if line.startswith("flags")), "").split()


_NEEDED = {
    "bfloat16": {"avx512bw"},
    "float16": {"avx512_fp16"},
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8"},
}
"""What oneDNN needs of a CPU, one of these, to multiply matrices of such numbers. With AVX2 alone it adds products of
int8 in 16 bits, where they do not fit, and is wrong by up to 15%."""


def has_products(dtype: str) -> bool:
    """Whether oneDNN multiplies matrices of that type here. Where it does not, its ops end the process or are wrong."""
    return dtype not in _NEEDED or not _NEEDED[dtype].isdisjoint(cpu_flags())
