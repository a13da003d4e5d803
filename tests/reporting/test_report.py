"""The report: one file, nothing from outside, every claim, every number from the tables."""

import itertools
import json
import os
import re
import sys
from collections import Counter
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import made_up_results
import nbformat
import pandas as pd
import pytest

from seqscale.reporting import catalog, svg
from seqscale.reporting.board import board
from seqscale.reporting.claims import counts, wholes
from seqscale.reporting.html import number, si_text
from seqscale.reporting.names import DIGESTS
from seqscale.reporting.page import Page
from seqscale.reporting.publish import TEMPLATES, contents, execute, private_kernel, publish
from seqscale.reporting.results import results as results_of
from seqscale.reporting.source import COLUMNS, Tables, load_tables, load_verdicts
from seqscale.reporting.style import Style
from seqscale.reporting.top import sentence

LOADS = ("src", "href", "xlink:href", "srcset", "poster", "action", "data", "background", "formaction")


class Reader(HTMLParser):
    """Gathers what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        found = dict(attrs)
        self.attributes.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        self.loads += [str(found[name]) for name in LOADS if found.get(name)]
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))


@pytest.fixture(scope="module")
def page(html: str) -> Reader:
    """The report, parsed."""
    return Reader(html)


def section(html: str, name: str) -> str:
    """The part of the page under the heading with the id `name`, up to the next of its kind."""
    start = html.index(f'<h2 id="{name}"')
    return html[start : html.find("<h2 id=", start + 5)]


def test_the_page_asks_the_network_for_nothing(page: Reader, html: str) -> None:
    assert [load[:60] for load in page.loads if not load.startswith(("#", "data:"))] == []
    without_data = re.sub(r"<script.*?</script>", "", re.sub(r'"data:[^"]*"', '""', html), flags=re.DOTALL)
    assert re.findall(r"url\((?!#)[^)]*\)", without_data) == []
    assert "@import" not in without_data
    assert page.tags["iframe"] == page.tags["object"] == page.tags["embed"] == 0
    assert all("src" not in attributes for tag, attributes in page.attributes if tag == "script")
    assert all(not name.startswith("on") for _, attributes in page.attributes for name in attributes)


def test_ids_are_unique_and_every_reference_has_its_target(page: Reader, html: str) -> None:
    assert [name for name, count in Counter(page.ids).items() if count > 1] == []
    targets = {load[1:] for load in page.loads if load.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", html))
    assert targets - set(page.ids) == set()


def test_the_page_is_well_made(page: Reader, html: str) -> None:
    assert html.startswith("<!DOCTYPE html>")
    assert '<html lang="en">' in html
    assert "<title>SeqScale: synthetic</title>" in html
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(page.headings))
    cells = [attributes for tag, attributes in page.attributes if tag == "th"]
    assert cells
    assert all(cell.get("scope") in ("row", "col") for cell in cells)
    assert page.tags["caption"] == page.tags["table"] > 0
    plots = [a for tag, a in page.attributes if tag == "svg" and a.get("class") == "plot"]
    assert len(plots) > len(catalog.FIGURES) - 2
    assert all(plot["role"] == "img" and len(str(plot["aria-label"])) > 40 for plot in plots)


def test_the_page_is_small(report: Path) -> None:
    assert report.stat().st_size < 15e6


def test_no_code_of_the_notebook_is_shown(html: str) -> None:
    assert "Page.load" not in html
    assert "papermill" not in html.lower()


def test_every_claim_stands_on_the_board(html: str) -> None:
    board = section(html, "verdicts")
    for row in made_up_results.verdicts().to_dict("records"):
        assert f'href="#claim-{row["claim"]}">{row["claim"]}</a>' in board
        if row["measured"] is not None:
            assert escape(str(row["reason"])) in section(html, "evidence")


def test_the_summary_counts_what_the_table_holds(html: str) -> None:
    table = load_verdicts_of(made_up_results.verdicts())
    for kind, count in counts(table).items():
        assert f"<strong>{count}</strong> <em>{kind}</em>" in html
    assert sum(counts(table).values()) == len(wholes(table))
    for source in table["source"].unique():
        assert f"<li><strong>{escape(source)}.</strong> " in html


def load_verdicts_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The synthetic verdicts in the form that load_verdicts gives."""
    return frame.assign(part=frame["part"].fillna(""))


def test_a_claim_with_parts_counts_once() -> None:
    frame = load_verdicts_of(made_up_results.verdicts())
    claim = frame[(frame["claim"] == "000.loss") & (frame["protocol"] == "fair")]
    assert len(claim) == 3
    assert counts(claim) == {"reproduced": 0, "not reproduced": 1, "inconclusive": 0, "not tested": 0}
    without_whole = claim[claim["part"] != ""]
    assert counts(without_whole)["inconclusive"] == 1


def test_a_claim_that_only_its_own_protocol_supports_says_so(html: str) -> None:
    rows = re.findall(r"<tr.*?</tr>", section(html, "verdicts"), flags=re.DOTALL)
    said = [row for row in rows if "holds only under its own protocol" in row]
    assert said
    assert all("000.loss" in row for row in said)


@pytest.mark.parametrize("fair", ["not reproduced", "inconclusive", "not tested"])
def test_a_claim_not_refuted_elsewhere_is_not_said_to_hold_only_as_published(
    tables: Tables, style: Style, fair: str
) -> None:
    frame = load_verdicts_of(made_up_results.verdicts())
    frame = frame[(frame["claim"] == "000.loss") & (frame["part"] == "")]
    frame.loc[frame["protocol"] == "fair", "verdict"] = fair
    html = board(frame, tables, style)
    assert ("holds only" in html) == (fair == "not reproduced")
    assert (f'<span class="only">under the fair protocol: {fair}</span>' in html) == (fair != "not reproduced")


def test_results_are_in_the_order_of_the_table(html: str, results: Path) -> None:
    runs = pd.read_csv(results / "tables" / "runs.csv")
    text = section(html, "results")
    text, copying = text.split('<h3 id="results-selective_copying">')
    for part, experiment, metric, ascending in (
        (text, "text", "test_loss", True),
        (copying, "selective_copying", "test_accuracy", False),
    ):
        means = runs[runs["experiment"] == experiment].groupby("model")[metric].mean().sort_values(ascending=ascending)
        shown = re.findall(r'<span class="model">(.*?)</span>', part)
        assert shown == [escape(made_up_results.TITLES[model]) for model in means.index]
    mamba = runs[(runs["experiment"] == "text") & (runs["model"] == "mamba")]["test_loss"].mean()
    assert f"{mamba:.3f}</data> <span" in text


def test_an_experiment_of_which_nothing_ran_has_no_table_of_results(tables: Tables, style: Style) -> None:
    runs = tables.runs
    lost = runs.assign(status=runs["status"].mask(runs["experiment"] == "text", "missing"))
    shown = results_of(Tables(**{**vars(tables), "runs": lost}), style)
    assert 'id="results-text"' not in shown
    assert 'id="results-selective_copying"' in shown
    assert "No run is there" in results_of(Tables(**{**vars(tables), "runs": runs.assign(status="missing")}), style)


def test_flags_stand_in_the_results(html: str) -> None:
    text = section(html, "results")
    assert "at the grid&rsquo;s edge" in text
    assert "not matched" in text
    assert "1 diverged" in text


def test_losses_of_mamba_are_listed_like_its_wins(html: str) -> None:
    text = section(html, "contests")
    ahead, behind = text.split('id="contest-behind"')
    assert "Time per forward pass" in ahead
    assert "Time per generated token" in behind
    assert "Time per training step" in behind


def test_holes_are_named(html: str) -> None:
    text = section(html, "holes")
    assert "LSTM, seed 2" in text
    assert "loss is NaN at step 151" in text
    assert "An experiment without a single run, Mamba, seed 1" in text
    assert "length 4096" in text
    assert "learning rate 0.01: diverged" in text
    assert "prefill, never_benched: not in the bench table" in text
    assert "This report is partial" in html


def test_each_claim_has_its_evidence_and_its_command(html: str) -> None:
    text = section(html, "evidence")
    for claim in made_up_results.verdicts()["claim"].unique():
        assert f'id="claim-{claim}"' in text
    assert "snakemake --cores all --forceall results/claims/000.order.csv" in text
    assert "Known defects of the original" in text


def test_the_first_questions_are_answered_at_the_top(html: str, tables: Tables) -> None:
    text = section(html, "answers")
    failed, rest = text.split('id="answer-length"')
    verdicts = made_up_results.verdicts()
    lost = verdicts[(verdicts["verdict"] == "not reproduced") & (verdicts["part"] != "")]
    for row in lost.to_dict("records"):
        assert row["claim"] in failed
        assert escape(str(row["reason"])) in failed
    crossed = tables.more["crossovers"]
    crossed = crossed[(crossed["status"] == "overtakes") & (crossed["suite"] == "prefill")]
    assert len(crossed)
    for length in crossed["length"]:
        assert f"from {length:,.0f} tokens" in re.sub(r"<[^>]+>", "", rest)
    assert "made-up processor" in rest
    assert "--forceall results/claims/" in rest


def test_single_texts_stand_with_answers_and_confidence(html: str) -> None:
    text = section(html, "samples")
    assert "“relaxing.. ”" in text
    assert re.search(r"✓ positive <data[^>]*>58.0 %", text)
    assert "✕ negative" in text
    assert "<b>roll</b>" not in text


def test_every_model_has_a_card(html: str) -> None:
    text = section(html, "models")
    for name, title in made_up_results.TITLES.items():
        assert f'id="model-{name}"' in text
        assert escape(title) in text
    assert "Block diagram: embedding" in text
    assert "<math" in text


def test_jobs_and_dag_are_told(html: str) -> None:
    text = html[html.index('id="jobs"') :]
    assert "prepare to train" in text
    assert "train to report" not in text  # the way over tables says so
    assert "12.5 s" in text
    assert "537 MB" in text
    assert "of/another/configuration" not in text


def test_provenance_is_told(html: str) -> None:
    text = html[html.index('<h2 id="provenance"') :]
    for word in ("0123456789abcdef0123456789abcdef01234567", "made-up processor", "2.13.0", "f" * 64):
        assert word in text
    assert "yes" in text[text.index("Uncommitted changes") :][:120]


def test_text_from_tables_is_escaped(html: str) -> None:
    assert escape(made_up_results.HOSTILE) in html
    assert made_up_results.HOSTILE not in html
    assert "<em>evaluated</em>" not in html
    assert "My &lt;mixer&gt; &amp; co" in html


def test_every_figure_is_there_with_its_numbers(html: str, figures: Path) -> None:
    for figure in catalog.FIGURES:
        if f'<li id="{figure.name}"><strong>{figure.title}</strong>' in html:  # in the list of what has no data
            assert figure.name in ("crossovers", "sensitivity", "loss_frontier", "mfu", "roofline"), (
                "made-up results have all else"
            )
            continue
        start = html.index(f'<figure class="chart" id="{figure.name}"')
        part = html[start : html.index("</figure>", start)]
        assert f"<h4>{figure.title}</h4>" in part
        found = re.search(r'class="spec">(.*?)</script>', part, re.DOTALL)
        assert found
        spec = json.loads(found.group(1))
        assert spec["csv"] == (figures / f"{figure.name}.csv").read_text(encoding="utf-8")
        assert spec["panels"]


def test_every_colour_of_the_figures_has_a_dark_one(figures: Path, style: Style) -> None:
    known = {tone.light for tone in style.tones()}
    for path in figures.glob("*.svg"):
        used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", path.read_text(encoding="utf-8")))
        assert used <= known, path.name


def test_the_same_input_gives_the_same_page(report: Path, results: Path, figures: Path, tmp_path: Path) -> None:
    again = publish(
        tables=results / "tables", verdicts=results / "verdicts.json", figures=figures,
        config=results / "config.json", dag=results / "dag.json", out=tmp_path / "again.html",
    ).read_text(encoding="utf-8")  # fmt: skip
    cut = re.compile(r'<p class="downloads">Save: <a class="download" download="verdicts\..*?</p>', re.DOTALL)
    assert cut.sub("", again) == cut.sub("", report.read_text(encoding="utf-8"))


def test_a_report_of_nothing_is_a_page_that_says_so(tmp_path: Path) -> None:
    for name in ("tables", "figures"):
        (tmp_path / name).mkdir()
    (tmp_path / "verdicts.csv").write_text("claim,protocol,published,measured,verdict,reason\n")
    out = publish(
        tables=tmp_path / "tables", verdicts=tmp_path / "verdicts.csv", figures=tmp_path / "figures",
        out=tmp_path / "report.html",
    )  # fmt: skip
    text = out.read_text(encoding="utf-8")
    assert "No claim has been judged" in text
    assert "runs table is empty" in text
    assert text.count("was not drawn") == len(catalog.FIGURES)
    assert "not there: verdict_counts.csv" not in text
    assert "runs.csv" in text


def test_the_kernel_is_this_interpreter_and_leaves_no_trace() -> None:
    before = dict(os.environ)
    with private_kernel() as name:
        folder = Path(os.environ["JUPYTER_PATH"])
        spec = json.loads((folder / "kernels" / name / "kernel.json").read_text(encoding="utf-8"))
        assert spec["argv"][0] == sys.executable
    assert dict(os.environ) == before
    assert not folder.exists()


def test_a_cell_that_fails_is_named(tmp_path: Path) -> None:
    new = nbformat.v4
    notebook = new.new_notebook(
        cells=[new.new_code_cell("x = 1"), new.new_code_cell("raise KeyError('no such table')")]
    )
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    with pytest.raises(RuntimeError, match=r"broken\.ipynb, cell .*KeyError.*no such table"):
        execute({}, tmp_path / "broken.ipynb")


def test_a_folder_of_tables_that_is_not_there_is_told_before_the_notebook_runs(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"--tables.*nowhere"):
        publish(
            tables=tmp_path / "nowhere", verdicts=tmp_path / "v.csv", figures=tmp_path, out=tmp_path / "report.html"
        )
    assert not (tmp_path / "report.html").exists()


def test_half_of_the_results_deleted_is_a_page_that_names_them(results: Path, figures: Path, tmp_path: Path) -> None:
    for part in ("tables", "figures"):
        (tmp_path / part).mkdir()
        for k, path in enumerate(sorted((results / part if part == "tables" else figures).glob("*.*"))):
            if k % 2:
                (tmp_path / part / path.name).write_bytes(path.read_bytes())
    told: list[str] = []
    out = publish(tables=tmp_path / "tables", verdicts=tmp_path / "verdicts.csv", figures=tmp_path / "figures",
                  out=tmp_path / "report.html", warn=told.append)  # fmt: skip
    text = out.read_text(encoding="utf-8")
    assert "This report is partial" in text
    lost = [f"{name}.csv" for name in (*COLUMNS, *DIGESTS) if not (tmp_path / "tables" / f"{name}.csv").is_file()]
    lost += [f"{f.name}.svg" for f in catalog.FIGURES if not (tmp_path / "figures" / f"{f.name}.svg").is_file()]
    assert len(lost) > 10
    for name in (*lost, "verdicts.csv"):
        assert f"{name} is not there; the page says so" in told
        assert name in text


def test_csv_and_json_give_the_same_verdicts(results: Path) -> None:
    left, right = load_verdicts(results / "verdicts.csv"), load_verdicts(results / "verdicts.json")
    columns = [str(column) for column in left]
    pd.testing.assert_frame_equal(left[columns], right[columns], check_dtype=False)


def test_the_sentence_for_an_untested_table() -> None:
    frame = load_verdicts_of(made_up_results.verdicts()).assign(verdict="not tested")
    assert sentence(frame) == f"None of {frame['claim'].nunique()} published claims was tested by these runs."


def test_inlined_figures_do_not_share_ids(figures: Path) -> None:
    text = (figures / "prefill_scaling.svg").read_text(encoding="utf-8")
    both = svg.inline(text, "a", "first") + svg.inline(text, "b", "second")
    ids = re.findall(r'\bid="([^"]+)"', both)
    assert len(ids) == len(set(ids)) > 10
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', both)) <= set(ids)
    assert "<style" not in both
    assert "<metadata" not in both


def test_contents_lists_headings_in_order() -> None:
    body = '<h2 id="a">One</h2><h3 id="b">Two <span class="count">3</span></h3><h2 id="c">A &amp; B</h2>'
    below = '<ol><li><a href="#b">Two</a></li></ol>'
    assert contents(body) == f'<ol><li><a href="#a">One</a>{below}</li><li><a href="#c">A &amp; B</a></li></ol>'


def test_the_budget_for_downloads_is_kept(results: Path, figures: Path) -> None:
    page = Page.load(tables=str(results / "tables"), verdicts=str(results / "verdicts.csv"), figures=str(figures))
    page.downloads.budget_bytes = 20_000
    text = page.provenance()
    assert 0 < sum(map(len, re.findall(r'href="(data:[^"]*)"', text))) < 22_000
    assert "too large to carry" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.8006, "1.801"), (0, "0.000"), (12345.678, "12,346"), (1.58e13, "1.580 &times; 10<sup>13</sup>"),
     (3e-5, "3.000 &times; 10<sup>&minus;5</sup>"), (None, "—"), ("x", "—"), (float("nan"), "—")],
)  # fmt: skip
def test_numbers_are_written_plainly(value: object, text: str) -> None:
    assert re.sub(r"</?data[^>]*>", "", number(value)) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(0.0042, "s", "4.2 ms"), (0.9999, "s", "1 s"), (2.1e6, "B", "2.1 MB"), (0, "B", "0 B")]
)
def test_si_prefixes(value: float, unit: str, text: str) -> None:
    assert si_text(value, unit) == text


def test_tables_take_odd_cells(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(
        "experiment,model,seed,test_loss,matched,status\na,m,1,not a number,True,ok\na,m,2,1.5,,\n", encoding="utf-8"
    )
    tables: Tables = load_tables(tmp_path)
    assert tables.runs["test_loss"].tolist()[1] == 1.5
    assert pd.isna(tables.runs["test_loss"][0])
    assert tables.runs["matched"].tolist() == [True, False]


def test_the_template_extends_nothing_of_nbconvert() -> None:
    template = (TEMPLATES / "seqscale" / "index.html.j2").read_text(encoding="utf-8")
    assert "{% extends" not in template
    assert "{%- extends" not in template
