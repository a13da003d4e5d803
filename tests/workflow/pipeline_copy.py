"""Runs Snakemake in a copy of the repository, which a test may edit without harm."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import forking
import yaml

from stand_ins import make_mirror, write_stand_in

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "environment.yml", "config", "workflow", "src", "report")


class Pipeline:
    """Runs Snakemake in a copy of the repository."""

    forked = True  # jobs of `run` are forked from a process that has imported PyTorch

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for part in PARTS:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(
                source, folder / part, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {})
            )
        self.mirror = make_mirror(folder / "mirror")  # the public corpora are not there in a test
        write_stand_in(folder / "config" / "datasets.yaml", self.mirror)

    def command(self, *arguments: str, config: str = "config/tiny.yaml") -> list[str]:
        return [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", config]

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("SEQSCALE", "PYTEST"))}
        return {**plain, "PATH": path, "OMP_NUM_THREADS": "1", "SEQSCALE_MIRROR": str(self.mirror)}

    def run(
        self, *arguments: str, config: str = "config/tiny.yaml", timeout: int = 1700
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, config=config),
            cwd=self.folder,
            env=self.environment | (forking.environment() if self.forked else {}),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def jobs(self, *arguments: str, config: str = "config/tiny.yaml") -> dict[str, int]:
        """Jobs that a dry run would start, by rule; empty if there is nothing to do."""
        done = self.run(*arguments, "-n", "--quiet", "rules", config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        text = done.stdout + done.stderr
        table = re.search(r"job +count\n[- ]+\n(.*?)\n\n", text + "\n\n", re.DOTALL)
        if table is None:
            assert "Nothing to be done" in text, text
            return {}
        rows = (line.split() for line in table.group(1).splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[0] not in ("total", "all")}

    def write_config(self, name: str, **changes: object) -> str:
        """config/tiny.yaml with top-level keys replaced (None: left out), as a new file; returns its path."""
        values = yaml.safe_load((self.folder / "config" / "tiny.yaml").read_text())
        if "experiments" in changes:
            values.pop("analyses", None)  # some read runs of the experiments that were there
        values.update(changes)
        path = self.folder / "config" / f"{name}.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
        return f"config/{name}.yaml"
