"""Mistakes in a claims file are told with line and key, what is allowed and the nearest right spelling."""

import pytest
from made_up_claims import SCHEMA

from seqscale.claims import ClaimsError, load_claims

GOOD = """\
sources:
  "000": {title: t, kind: k, protocol: p}
claims:
  - id: 000.loss
    title: Test loss
    figure: Mamba 1.8006
    unit: nats
    published: {mamba: 1.8006}
    tests:
      - protocol: fair
        parts: [mamba]
        select: {table: runs, experiment: text, model: "{part}"}
        measure: mean
        column: test_loss
        expect: {near: "published.{part}", tolerance: 0.03}
"""


def load(tmp_path, text):
    path = tmp_path / "claims.yaml"
    path.write_text(text, encoding="utf-8")
    return load_claims(path, SCHEMA)


def test_a_good_file_is_read_and_its_parts_written_out(tmp_path):
    (claim,) = load(tmp_path, GOOD).claims
    (trial,) = claim.trials
    assert (claim.id, claim.source, trial.part, trial.published, trial.unit) == (
        "000.loss",
        "000",
        "mamba",
        1.8006,
        "nats",
    )
    assert trial.select["model"] == "mamba" and trial.line == 10
    assert (trial.region.low, trial.region.high) == pytest.approx((1.7706, 1.8306))


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("measure: mean", "mesure: mean", ["line 13", "unknown key 'mesure'. Did you mean 'measure'?", "000.loss"]),
        ("measure: mean", "measure: meen", ["line 10", "unknown measure 'meen'. Did you mean 'mean'?"]),
        ("protocol: fair", "protocol: fare", ["line 10", "is 'fare'. Did you mean 'fair'?"]),
        ("column: test_loss", "column: tset_loss", ["no column 'tset_loss'. Did you mean 'test_loss'?"]),
        ("column: test_loss", "column: status", ["'status' of table 'runs' holds no numbers"]),
        ("        column: test_loss\n", "", ["measure 'mean' needs `column`"]),
        ("column: test_loss", "column: test_loss\n        length: 64", ["measure 'mean' has no option `length`"]),
        ("table: runs", "table: bench", ["select.table is 'bench'; measure 'mean' reads runs or history"]),
        ("experiment: text", "experimnet: text", ["no column 'experimnet'. Did you mean 'experiment'?"]),
        ("published.{part}", "published.mmaba", ["'mmaba'. Did you mean 'mamba'?"]),
        ("published.{part}", "figures.mamba", ["a number or a path such as published.mamba"]),
        (", tolerance: 0.03", "", ["`near` needs `tolerance`"]),
        ("tolerance: 0.03", "tolerance: 0.03, below: 3", ["`near` goes with either"]),
        ("tolerance: 0.03", "tolerance: -1", ["-1 is less than or equal to the minimum of 0"]),
        ('near: "published.{part}", tolerance: 0.03', "tolerance: 0.03", ["need `near`"]),
        ('near: "published.{part}", tolerance: 0.03', "between: [2, 1]", ["smaller number comes first"]),
        ('near: "published.{part}", tolerance: 0.03', "above: 2, below: 1", ["nothing is above 2"]),
        ("mamba: 1.8006", "mamba: 1.58e13", ["line 8", "'1.58e13' is a text and not a number", "1.58e+13"]),
        ("parts: [mamba]", "parts: [mamba]\n        part: x", ["`part` or `parts`, not both"]),
        ("parts: [mamba]", "parts: mamba", ["is 'mamba' (str); it must be array"]),
        ("    figure: Mamba 1.8006\n", "", ["lacks figure"]),
        ("id: 000.loss", "id: 005.loss", ["of source '005', which `sources` does not have"]),
        ("id: 000.loss", "id: loss", ["does not match"]),
        ("title: Test loss", "title: Test loss\n    title: again", ["line 6", "'title' is there twice"]),
        ('"000": {title', "000: {title", ["the key 000 is not a text; put it in quotes"]),
        ("measure: mean", "untested: why", ["cannot stand beside select, expect"]),
        ("        select: {table: runs", "        because: {table: runs", ["because", "must be string"]),
        ("claims:", "claims: [", ["is not valid YAML"]),
    ],
)
def test_mistakes_are_told(tmp_path, old, new, messages):
    assert old in GOOD
    with pytest.raises(ClaimsError) as error:
        load(tmp_path, GOOD.replace(old, new, 1))
    for message in ["claims.yaml", *messages]:
        assert message in str(error.value)


def test_all_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(ClaimsError) as error:
        load(tmp_path, GOOD.replace("protocol: fair", "protocl: fair").replace("title: Test loss", "titel: Test loss"))
    assert len(error.value.problems) == 4  # two unknown keys, and the two that are lacking for it


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(ClaimsError, match=r"000\.loss is there twice"):
        load(tmp_path, GOOD + GOOD.split("claims:\n")[1])


def test_two_tests_of_one_part_are_refused(tmp_path):
    with pytest.raises(ClaimsError, match="two fair tests of part 'mamba'"):
        load(tmp_path, GOOD + GOOD.split("tests:\n")[1])


@pytest.mark.parametrize(
    ("length", "wrong"), [("64", False), ('"64"', False), ("longest", False), ("longst", True), ("-5", True)]
)
def test_lengths(tmp_path, length, wrong):
    test = f"""\
      - protocol: fair
        select: {{table: bench, suite: prefill, model: mamba}}
        measure: value_at
        length: {length}
        expect: {{below: 1}}
"""
    text = GOOD.split("    tests:\n")[0] + "    tests:\n" + test
    if wrong:
        with pytest.raises(ClaimsError, match="length"):
            load(tmp_path, text)
    else:
        assert load(tmp_path, text).claims[0].trials[0].options["length"] in (64, "longest")


@pytest.mark.parametrize("text", ["", "just words", "sources: {}"])
def test_files_that_are_no_claims_at_all(tmp_path, text):
    with pytest.raises(ClaimsError):
        load(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ClaimsError, match="cannot be read"):
        load_claims(tmp_path / "nowhere.yaml", SCHEMA)
