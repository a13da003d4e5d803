#!/usr/bin/env python
"""Write requirements.lock (every installed package with its pin) and environment.yml (the same for conda).

Run it through `make lock`, in an environment that has what pyproject.toml names and nothing else.
"""

import importlib.metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAVE_OUT = {"pip", "wheel", "seqscale"}

HEAD_LOCK = """\
# Every package with its pin, for `pip install -r requirements.lock`. Written by `make lock`; do not edit.
# torch is pinned exactly: with a looser requirement pip may fetch another build with gigabytes of GPU libraries.
# triton is the version that the published torch build asks for.
"""
HEAD_CONDA = """\
# The same pins as requirements.lock, for conda: `conda env create -f environment.yml && conda activate seqscale`.
# Written by `make lock`; do not edit (a test holds the two files to each other).
name: seqscale
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def pins() -> list[str]:
    found = {}
    for package in importlib.metadata.distributions():
        name = package.metadata["Name"]
        if name.lower() not in LEAVE_OUT:
            found[name.lower()] = f"{name}=={package.version.split('+')[0]}"  # without a local build's label
    return [found[name] for name in sorted(found)]


def main() -> None:
    lines = pins()
    (ROOT / "requirements.lock").write_text(HEAD_LOCK + "".join(f"{line}\n" for line in lines))
    (ROOT / "environment.yml").write_text(HEAD_CONDA + "".join(f"      - {line}\n" for line in lines))
    print(f"{len(lines)} pins")


if __name__ == "__main__":
    main()
