"""Install both distributions at once: `pip install '.[cpu]'` (or `.[gpu]`), from this folder.

The distributions themselves are described in client/pyproject.toml and server/pyproject.toml.
"""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
CLIENT = f"bert-serving-client @ {(HERE / 'client').as_uri()}"
SERVER = (HERE / "server").as_uri()

EXTRAS = ("cpu", "gpu", "benchmark", "bulk", "http", "ray", "tiktoken", "all")

setup(
    name="bert-as-service",
    version="2.0.0",
    description="bert-as-service: client and server together",
    license="MIT",
    author="the bert-as-service contributors",
    python_requires=">=3.10,<3.14",
    packages=[],
    py_modules=[],
    install_requires=[CLIENT, f"bert-serving-server @ {SERVER}"],
    extras_require={extra: [f"bert-serving-server[{extra}] @ {SERVER}"] for extra in EXTRAS},
)
