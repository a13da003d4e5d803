"""The run matrix: which jobs a configuration asks for, and the resolved config that each job receives whole.

A run's config holds everything that its result depends on and nothing else, so Snakemake reruns exactly the runs whose
config changed. The learning rate of a searched run is the one thing that is not known beforehand: it is null here and
comes from the search's result file, an input of the job.
"""

from dataclasses import dataclass
from typing import Any

from seqscale.config.load import Config, merged
from seqscale.config.suites import kind_of, lengths_of, models_of
from seqscale.provenance import digest

SEARCH_EVALUATIONS = 3  # of a search run: enough to see one that learns by heart
LABELS = ("title", "note", "matched")


@dataclass(frozen=True)
class Matrix:
    """All jobs of a configuration."""

    config: Config

    @property
    def experiments(self) -> dict[str, dict[str, Any]]:
        return self.config.values["experiments"]

    def runs(self) -> list[tuple[str, str, int]]:
        """(experiment, model, seed) of every reported run."""
        return [(e, m, s) for e, x in self.experiments.items() for m in x["models"] for s in x["seeds"]]

    def searches(self) -> list[tuple[str, str, str]]:
        """(experiment, model, learning rate) of every search run; the rate as it stands in the folder's name."""
        return [(e, m, lr) for e, x in self.experiments.items() for m in x["models"] for lr in self.rates(e, m)]

    def benches(self) -> list[tuple[str, str]]:
        """(suite, model) of every benchmark."""
        bench = self.config.values.get("benchmarks")
        return [(suite, model) for suite in bench["suites"] for model in models_of(suite, bench)] if bench else []

    def bench_kind(self, suite: str) -> str:
        """What a suite measures: prefill, decode, ... (its name, unless it says so)."""
        kind = kind_of(suite, self.config.values["benchmarks"]["suites"][suite])
        assert kind is not None, "checked when the configuration was read"
        return kind

    def rates(self, experiment: str, model: str) -> list[str]:
        """The grid that a model's learning rate is searched on; empty if it is given."""
        values, changes = self.experiments[experiment], self._changes(experiment, model)
        if values["search"] is None or "learning_rate" in changes:
            return []
        return [repr(float(lr)) for lr in changes.get("learning_rates", values["search"]["learning_rates"])]

    def model_config(self, model: str) -> dict[str, Any]:
        """A model's description without its words for people: a new title or note must not rerun anything."""
        return {key: value for key, value in self.config.models[model].items() if key not in LABELS}

    def sample(self, experiment: str) -> dict[str, Any] | None:
        """The text sample that `evaluate` draws, if any."""
        return self.experiments[experiment]["sample"]

    def run_config(self, experiment: str, model: str, seed: int) -> dict[str, Any]:
        """The resolved config of a reported run."""
        values, changes = self.experiments[experiment], self._changes(experiment, model)
        rates = [float(rate) for rate in self.rates(experiment, model)]
        rate = None if rates else changes.get("learning_rate", values["learning_rate"])
        dropout = {} if values["dropout"] is None else {"dropout": values["dropout"]}
        copied = "protocol dataset context batch steps eval_every log_every checkpoint_every"
        return {
            "experiment": experiment,
            "model": {**self.model_config(model), **dropout},
            "seed": seed,
            **{key: values[key] for key in copied.split()},
            "optimizer": {**merged(values["optimizer"], changes.get("optimizer", {})), "learning_rate": rate},
            "search": {"learning_rates": rates} if rates else None,
            **self.config.values["compute"],
            **self._own_protocol(experiment),
        }

    def search_config(self, experiment: str, model: str, rate: str) -> dict[str, Any]:
        """The resolved config of a search run: the run's own, with the search's budget and seed and a given rate."""
        search = self.experiments[experiment]["search"]
        run = self.run_config(experiment, model, search["seed"])
        run["optimizer"]["learning_rate"] = float(rate)
        steps = search["steps"]
        # evaluated on the way, too: the lowest validation loss chooses the rate as it chooses a run's weights
        every = -(-steps // SEARCH_EVALUATIONS)
        budget = {"steps": steps, "eval_every": every, "log_every": max(1, steps // 10), "checkpoint_every": steps}
        return {**run, "search": None, **budget}

    def _own_protocol(self, experiment: str) -> dict[str, Any]:
        """What an experiment says that is not the rule; left out where it is, so that it reruns nothing there."""
        values = self.experiments[experiment]
        published = {key: values[key] for key in ("batches", "test_batches")}
        return {"precision": values["precision"], **(published if values["protocol"] == "published" else {})}

    def bench_config(self, suite: str, model: str) -> dict[str, Any]:
        """The resolved config of a benchmark."""
        bench, compute = self.config.values["benchmarks"], self.config.values["compute"]
        settings = bench["suites"][suite]
        kind = self.bench_kind(suite)
        as_published = kind == "as_published"  # the sources timed on a CPU
        return {
            "suite": suite,
            "kind": kind,
            **({} if kind == "kernels" else {"model": self.model_config(model)}),
            "settings": {
                **{key: settings[key] for key in settings.keys() - {"kind", "models", "longest", "vocab_size"}},
                **({"lengths": lengths_of(settings, model)} if "lengths" in settings else {}),
            },
            **{key: bench[key] for key in ("repeats", "min_seconds", "threads")},
            "vocab_size": settings.get("vocab_size", bench["vocab_size"]),
            "device": "cpu" if as_published else compute["device"],
            "precision": "float32" if as_published else compute["precision"],
        }

    def analyses(self) -> list[str]:
        """The analyses asked for, by name."""
        return list(self.config.values.get("analyses", {}))

    def analysis_config(self, name: str) -> dict[str, Any]:
        """The resolved config of an analysis."""
        compute = self.config.values["compute"]
        settings = self.config.values["analyses"][name]
        return {"settings": settings, "device": compute["device"], "threads": compute["threads"]}

    def analysis_runs(self, name: str) -> list[tuple[str, str, int]]:
        """(experiment, model, seed) of the trained runs that an analysis reads: the first seed of each model."""
        settings = self.config.values["analyses"][name]
        if "experiment" not in settings:
            return []
        experiment = settings["experiment"]
        seed = self.experiments[experiment]["seeds"][0]
        return [(experiment, model, seed) for model in settings["models"]]

    def summary(self) -> dict[str, Any]:
        """What the later stages know of the whole: the configuration and the list of jobs (results/config.json)."""
        whole = {**self.config.values, "models": self.config.models, "datasets": self.config.datasets}
        return {
            "name": self.config.values["name"],
            "config": whole,
            "config_digest": digest(whole),
            "runs": [{"experiment": e, "model": m, "seed": s} for e, m, s in self.runs()],
            "search": [{"experiment": e, "model": m, "lr": lr} for e, m, lr in self.searches()],
            "bench": [{"suite": s, "model": m} for s, m in self.benches()],
            "analyses": [{"name": name} for name in self.analyses()],
        }

    def _changes(self, experiment: str, model: str) -> dict[str, Any]:
        return self.experiments[experiment]["overrides"].get(model, {})
