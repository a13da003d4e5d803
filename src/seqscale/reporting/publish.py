"""Notebook -> papermill -> nbconvert -> one HTML file that asks the network for nothing.

The notebook runs in a kernel of the running interpreter, described by a private kernelspec in a temporary folder:
a kernel called "python3" somewhere on the machine may belong to another environment.
"""

import base64
import contextlib
import gzip
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbconvert.exporters.templateexporter import TemplateExporter

from seqscale.files import read_json, write_text
from seqscale.reporting.html import esc
from seqscale.reporting.source import COLUMNS, coerce, tables_of
from seqscale.reporting.style import GROUNDS, STYLE_FILE, Style, load_style
from seqscale.reporting.svg import dark_rules

ROOT = STYLE_FILE.parents[1]
NOTEBOOK = ROOT / "workflow" / "notebooks" / "report.ipynb"
TEMPLATES = ROOT / "report" / "template"
KERNEL = "seqscale-report"
SECONDS_PER_CELL = 600
BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextlib.contextmanager
def private_kernel() -> Iterator[str]:
    """Name of a kernelspec for this interpreter that exists only inside the block.

    IPython's and Jupyter's folders are temporary, too, so nothing is written to the home folder and no user's start-up
    file changes the report.
    """
    with tempfile.TemporaryDirectory(prefix="seqscale-kernel-") as folder:
        spec = Path(folder) / "data" / "kernels" / KERNEL
        spec.mkdir(parents=True)
        package = str(Path(__file__).resolve().parents[2])  # the folder that holds seqscale
        search = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}",
                "--HistoryManager.enabled=False", "--IPKernelApp.log_level=40"]  # fmt: skip
        threads = {name: os.environ.get(name, "1") for name in BLAS_THREADS}
        spec.joinpath("kernel.json").write_text(
            json.dumps(
                {
                    "argv": argv,
                    "display_name": "SeqScale report",
                    "language": "python",
                    "env": {"PYTHONPATH": search, "MPLBACKEND": "agg", "PYTHONHASHSEED": "0", **threads},
                }
            )
        )
        changed = {
            "JUPYTER_PATH": str(Path(folder) / "data"),
            "JUPYTER_RUNTIME_DIR": str(Path(folder) / "runtime"),
            "JUPYTER_CONFIG_DIR": str(Path(folder) / "config"),
            "JUPYTER_DATA_DIR": str(Path(folder) / "data"),
            "JUPYTER_PLATFORM_DIRS": "1",
            "IPYTHONDIR": str(Path(folder) / "ipython"),
        }
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield KERNEL
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def execute(parameters: Mapping[str, str], notebook: Path = NOTEBOOK, keep: Path | None = None) -> Any:
    """Run the notebook through papermill with `parameters`; give the executed one, and keep a copy at `keep`.

    RuntimeError with the cell and its traceback when a cell fails.
    """
    import papermill  # a second of imports that --help need not wait for

    with private_kernel() as kernel, tempfile.TemporaryDirectory(prefix="seqscale-report-") as folder:
        done = Path(folder) / "report.ipynb"
        try:
            papermill.execute_notebook(
                str(notebook), str(done), dict(parameters), kernel_name=kernel, language="python",
                progress_bar=False, cwd=str(Path.cwd()), execution_timeout=SECONDS_PER_CELL, start_timeout=120,
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
            raise RuntimeError(
                f"{notebook.name}, cell {error.cell_index}: {error.ename}: {error.evalue}\n{trace}"
            ) from error
        text = done.read_text(encoding="utf-8")
    if keep is not None:
        write_text(keep, text)
    read: Any = nbformat.reads
    return read(text, as_version=4)


def contents(body: str) -> str:
    """A table of contents (nested lists) from the h2 and h3 headings that have an id, in the order of the page."""
    entries: list[tuple[str, str, list[tuple[str, str]]]] = []
    for level, name, title in re.findall(r'<h([23]) id="([^"]+)"[^>]*>(.*?)</h\1>', body, flags=re.DOTALL):
        title = re.sub(r'<span class="count">.*?</span>', "", title)
        title = re.sub(r"<[^>]+>", "", title).strip()
        if level == "2":
            entries.append((name, title, []))
        elif entries:
            entries[-1][2].append((name, title))
    html = []
    for name, title, below in entries:
        inner = "".join(f'<li><a href="#{n}">{t}</a></li>' for n, t in below)
        html.append(f'<li><a href="#{name}">{title}</a>{f"<ol>{inner}</ol>" if inner else ""}</li>')
    return f"<ol>{''.join(html)}</ol>"


def colours(style: Style) -> str:
    """The style file as CSS: custom properties for both schemes, and the figures' dark colours."""
    light = ";".join(f"--{key}:{style.ground[key].light}" for key in GROUNDS)
    dark = ";".join(f"--{key}:{style.ground[key].dark}" for key in GROUNDS)
    # "screen": on paper the page is light, whatever the reader's screen is.
    return (
        f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{\n:root{{{dark}}}\n{dark_rules(style)}\n}}"
    )


def plotly() -> str:
    """The plotting library as the installed package carries it, packed for the page: gzip, then base64."""
    library = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(library, 9, mtime=0)).decode("ascii")


def render(notebook: Any, title: str, style: Style, templates: Path = TEMPLATES, library: bool = True) -> str:
    """The executed notebook as one HTML page by ``report/template/seqscale``; code cells are left out.

    `library`: whether the page carries the plotting library.
    """
    make: Any = TemplateExporter
    exporter = make(
        template_name="seqscale", extra_template_basedirs=[str(templates)], template_file="index.html.j2",
        filters={"contents": contents},
    )  # fmt: skip
    resources = {"seqscale": {"title": title, "colours": colours(style), "plotly": plotly() if library else ""}}
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    return str(body)


def publish(
    *, tables: Path, verdicts: Path, figures: Path, out: Path, config: Path | None = None,
    style: Path | None = None, dag: Path | None = None, notebook: Path = NOTEBOOK, keep_notebook: Path | None = None,
    warn: Callable[[str], None] = lambda words: None,
) -> Path:  # fmt: skip
    """Make the report at `out` from the tables, verdicts and figures; returns `out`.

    What is not there is told to `warn` and on the page. OSError or ValueError for wrong input, RuntimeError when a cell
    of the notebook failed.
    """
    from seqscale.reporting.page import Page

    given = {"tables": tables, "verdicts": verdicts, "figures": figures, "config": config, "style": style,
             "dag": dag}  # fmt: skip
    parameters = {key: str(path.resolve()) if path else "" for key, path in given.items()}
    # Wrong input is told here, in its own words, and not as a traceback from inside a notebook.
    loaded = Page.load(**parameters)
    for name in loaded.lacking:
        warn(f"{name} is not there; the page says so")
    name = str((read_json(config) if config else {}).get("name") or "")
    title = f"SeqScale: {name}" if name else "SeqScale"
    executed = execute(parameters, notebook, keep_notebook)
    write_text(
        out,
        render(executed, esc(title), loaded.style if style is None else load_style(style, loaded.tables.model_names)),
    )
    return out


def publish_comparison(frame: pd.DataFrame, out: Path) -> Path:
    """The page of two runs side by side at `out`, from the table of `comparing.compare`; returns `out`."""
    from seqscale.reporting.comparing import TABLE, section

    new: Any = nbformat.v4
    tables = tables_of({name: coerce(pd.DataFrame(), kinds) for name, kinds in COLUMNS.items()}, {TABLE: frame})
    head = "<header><p class=kicker>SeqScale</p><h1>Two runs side by side</h1></header>"
    shown = new.new_output("display_data", data={"text/html": head + section(tables)})
    page = new.new_notebook(cells=[new.new_code_cell("", outputs=[shown])])
    write_text(out, render(page, "SeqScale: two runs", load_style(), library=False))
    return out
