"""The result tables as the figures and the report see them: all of them present, whatever is missing on disk.

A missing file or column becomes an empty one and is named in ``Tables.missing``; figures then say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from seqscale.files import read_json, read_table

TEXT, NUMBER, FLAG = "text", "number", "flag"


def _columns(text: str = "", number: str = "", flag: str = "") -> dict[str, str]:
    kinds = {TEXT: text, NUMBER: number, FLAG: flag}
    return {name: kind for kind, names in kinds.items() for name in names.split()}


# What the report reads, by table; further columns are kept as they are.
COLUMNS: dict[str, dict[str, str]] = {
    "runs": _columns(
        "experiment protocol dataset model title status reason device config_digest git_commit experiment_title "
        "reference_model cuda_graph",  # a text: where nobody noted it, it is neither yes nor no
        "seed params params_nonembedding train_tokens train_flops train_seconds valid_loss test_loss test_accuracy "
        "valid_accuracy perplexity bits_per_character lr params_ratio steps peak_memory_bytes",
        "lr_at_edge matched",
    ),
    "history": _columns(
        "experiment model", "seed step tokens flops seconds learning_rate train_loss valid_loss grad_norm"
    ),
    "search": _columns("experiment model status", "lr seed valid_loss", "chosen"),
    "bench": _columns(
        "suite model implementation device dtype direction quantity unit",
        "batch length d_inner d_state median p20 p80 repeats",
        "oom",
    ),
    "scaling": _columns(
        "suite model direction quantity implementation device dtype oom_lengths reason",
        "exponent ci_low ci_high length_min length_max points r2 batch",
        "still_rising",
    ),
    "extrapolation": _columns("experiment model status reason", "seed length train_length accuracy loss answers"),
    "analyses": _columns(
        "suite model implementation device dtype direction quantity unit experiment status reason",
        "batch length d_inner d_state median p20 p80 repeats",
        "oom",
    ),
    "frontier": _columns("experiment family model", "step flops valid_loss seeds", "on_frontier"),
    "frontier_fits": _columns(
        "experiment family reason", "sizes points exponent ci_low ci_high coefficient r2 flops_min flops_max"
    ),
    "samples": _columns("experiment model prompt text", "seed"),
    "models": _columns("model title note mixer", "d_model n_layers params params_nonembedding"),
}
VERDICT_COLUMNS = _columns(
    "claim protocol published measured unit verdict reason part source title data evidence expected because method",
    "ci_low ci_high n margin",
)


@dataclass
class Tables:
    """All result tables, plus titles. `missing` names the tables that were not there."""

    runs: pd.DataFrame
    history: pd.DataFrame
    search: pd.DataFrame
    bench: pd.DataFrame
    scaling: pd.DataFrame
    samples: pd.DataFrame
    models: pd.DataFrame
    extrapolation: pd.DataFrame = field(default_factory=lambda: coerce(pd.DataFrame(), COLUMNS["extrapolation"]))
    analyses: pd.DataFrame = field(default_factory=lambda: coerce(pd.DataFrame(), COLUMNS["analyses"]))
    frontier: pd.DataFrame = field(default_factory=lambda: coerce(pd.DataFrame(), COLUMNS["frontier"]))
    frontier_fits: pd.DataFrame = field(default_factory=lambda: coerce(pd.DataFrame(), COLUMNS["frontier_fits"]))
    published: dict[str, Any] = field(default_factory=dict)  # figures as printed, by claim (config/claims.yaml)
    missing: tuple[str, ...] = ()
    more: dict[str, pd.DataFrame] = field(default_factory=dict)
    experiment_titles: dict[str, str] = field(default_factory=dict)
    model_titles: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)

    def table(self, name: str, columns: str = "", numbers: str = "", flags: str = "") -> pd.DataFrame:
        """Any table by name, with these columns (texts, numbers, yes or no) in it; absent: empty, never an error."""
        frame = getattr(self, name) if name in COLUMNS else self.more.get(name, pd.DataFrame())
        return coerce(frame, _columns(columns, numbers, flags))

    @property
    def model_names(self) -> list[str]:
        """Every model that any table mentions, sorted."""
        others = [frame for frame in self.more.values() if "model" in frame]
        frames = (self.models, self.runs, self.history, self.search, self.bench, self.scaling, *others)
        return sorted({str(name) for frame in frames for name in frame["model"].dropna()})

    @property
    def experiments(self) -> list[str]:
        """Experiments in the order of the configuration, then in the order in which they appear."""
        seen = [
            str(e) for frame in (self.runs, self.history, self.search) for e in frame["experiment"].dropna().unique()
        ]
        return [e for e in self.experiment_titles if e in seen] + list(
            dict.fromkeys(e for e in seen if e not in self.experiment_titles)
        )

    def model_title(self, name: str) -> str:
        """The model's title, or its name where neither tables nor configuration have one."""
        for frame in (self.models, self.runs):
            row = frame.loc[frame["model"] == name, "title"].dropna()
            if len(row):
                return str(row.iloc[0])
        return self.model_titles.get(name, name)

    def experiment_title(self, name: str) -> str:
        """The experiment's title from the configuration, or its name."""
        return self.experiment_titles.get(name, name)

    def reference(self, experiment: str) -> str:
        """The model that the experiment's configuration names for comparison (default: ``transformer``)."""
        return self.references.get(experiment, "transformer")

    def uses_accuracy(self, experiment: str) -> bool:
        """True for tasks with right and wrong answers: an accuracy was measured and the data is not text."""
        runs = self.runs[self.runs["experiment"] == experiment]
        return bool(runs["test_accuracy"].notna().any() and runs["bits_per_character"].isna().all())


def coerce(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """`frame` with every one of `columns` present and of its kind; unreadable numbers become NaN."""
    frame = frame.copy()
    for name, kind in columns.items():
        if name not in frame:
            frame[name] = pd.Series([None] * len(frame), dtype=object)
        if kind == NUMBER:
            frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(float)
        elif kind == FLAG:
            frame[name] = frame[name].astype(str).str.strip().str.lower().isin(["true", "1", "1.0", "yes"])
        else:
            # A list of Python objects: pandas would turn None into NaN in a column that it takes for text.
            texts = [
                str(value) if there else None for value, there in zip(frame[name], frame[name].notna(), strict=True)
            ]
            frame[name] = pd.Series(texts, index=frame.index, dtype=object)
    return frame


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `frame` as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _read(folder: Path, name: str) -> pd.DataFrame | None:
    for suffix in (".csv", ".parquet"):
        path = folder / f"{name}{suffix}"
        if path.exists() and path.stat().st_size > 0:
            try:
                return read_table(path)
            except pd.errors.EmptyDataError:
                return None
            except (pd.errors.ParserError, UnicodeDecodeError) as error:
                raise ValueError(f"{path} cannot be read as a table ({error}). Delete it and make it again.") from error
    return None


def load_published(path: str | Path) -> dict[str, Any]:
    """The figures that the sources print, by claim, from the `published` of a claims file."""
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    return {entry["id"]: entry["published"] for entry in content.get("claims", ()) if "published" in entry}


def tables_of(
    known: Mapping[str, pd.DataFrame], more: Mapping[str, pd.DataFrame], titles: Mapping[str, str] | None = None
) -> Tables:
    """Tables from the frames of every name in COLUMNS, and further ones."""
    given: dict[str, Any] = dict(known)
    return Tables(**given, more=dict(more), experiment_titles=dict(titles or {}))


def load_tables(
    folder: str | Path, config: Mapping[str, Any] | None = None, claims: str | Path | None = None
) -> Tables:
    """Read every table of COLUMNS, ``NAME.csv`` or ``NAME.parquet``, from `folder`.

    `config` is the resolved configuration (``{"config": {"experiments": ...}}``), used for titles only; `claims` the
    claims file, for figures that show what was printed.
    NotADirectoryError when `folder` is not there at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"--tables {folder}: there is no such folder. The tables stage makes it (results/tables)."
        )
    found = {name: _read(folder, name) for name in COLUMNS}
    tables = {name: coerce(pd.DataFrame() if frame is None else frame, COLUMNS[name]) for name, frame in found.items()}
    experiments = ((config or {}).get("config") or {}).get("experiments") or {}
    models = ((config or {}).get("config") or {}).get("models") or {}
    runs = tables["runs"]
    told = {
        column: {str(row["experiment"]): str(row[column]) for row in records(runs[runs[column].notna()])}
        for column in ("experiment_title", "reference_model")
    }
    others = {path.stem for suffix in ("csv", "parquet") for path in folder.glob(f"*.{suffix}")} - set(COLUMNS)
    return Tables(
        **tables,
        published=load_published(claims) if claims else {},
        more={name: frame for name in sorted(others) if (frame := _read(folder, name)) is not None},
        missing=tuple(name for name, frame in found.items() if frame is None),
        model_titles={str(k): str(v["title"]) for k, v in models.items() if isinstance(v, Mapping) and "title" in v},
        # The configuration first, for its order; what the runs themselves say wins.
        experiment_titles={
            **{str(k): str((v or {}).get("title") or k) for k, v in experiments.items()},
            **told["experiment_title"],
        },
        references={
            **{str(k): str(v["reference_model"]) for k, v in experiments.items() if (v or {}).get("reference_model")},
            **told["reference_model"],
        },
    )


def no_verdicts() -> pd.DataFrame:
    """The verdicts of a run that has none."""
    return coerce(pd.DataFrame(), VERDICT_COLUMNS).assign(part="")


def load_verdicts(path: str | Path) -> pd.DataFrame:
    """Read ``verdicts.csv`` (or .json: its rows under ``verdicts``); an absent file is an error, an empty one not."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"--verdicts {path}: there is no such file. The verdicts stage makes it.")
    if path.suffix == ".json":
        content = read_json(path)
        frame = pd.DataFrame(content["verdicts"] if isinstance(content, dict) else content)
    else:
        try:
            # Text, so that a published "1.80" stays as it was printed and an ordering stays an ordering.
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
        except pd.errors.EmptyDataError:
            frame = pd.DataFrame()
    frame = coerce(frame.replace("", None), VERDICT_COLUMNS)
    frame["part"] = frame["part"].fillna("")
    missing_source = frame["source"].isna()
    frame.loc[missing_source, "source"] = frame.loc[missing_source, "claim"].str.split(".").str[0]
    return frame
