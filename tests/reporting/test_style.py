"""Looks: distinct, stable, legible."""

import itertools

import pytest
import yaml

from seqscale.reporting.style import STYLE_FILE, Style, Tone, load_style


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2), 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_listed_model_has_a_marker_and_colours_of_its_own() -> None:
    looks = load_style().listed
    for what in (lambda look: look.marker, lambda look: look.tone.light, lambda look: look.tone.dark):
        values = [what(look) for look in looks.values()]
        assert len(set(values)) == len(values)


def test_the_models_of_the_quick_start_are_listed() -> None:
    models = yaml.safe_load((STYLE_FILE.parents[1] / "config" / "models.yaml").read_text(encoding="utf-8"))
    ablations = {name for name in models if name.startswith("mamba_")}  # too many to be told apart: spare looks
    assert set(models) - ablations <= set(load_style().listed)


def test_lines_and_text_stand_out_from_both_grounds() -> None:
    style = load_style(names=[f"model{i}" for i in range(36)])
    paper = style.ground["paper"]
    for name, look in style.listed.items():
        assert contrast(look.tone.light, paper.light) >= 3, name
        assert contrast(look.tone.dark, paper.dark) >= 3, name
    for tone in (style.ground["ink"], style.ground["muted"], style.ground["accent"], *style.verdicts.values()):
        for ground in (paper, style.ground["panel"]):
            assert contrast(tone.light, ground.light) >= 4.5
            assert contrast(tone.dark, ground.dark) >= 4.5


def test_no_tone_is_light_for_two_dark_ones() -> None:
    # The page turns light into dark by the light colour alone, so it has to decide.
    tones = load_style().tones()
    assert len({tone.light for tone in tones}) == len(tones)


def test_an_unknown_model_looks_the_same_whoever_else_is_there() -> None:
    alone = load_style(names=["my_mixer"]).model("my_mixer")
    crowd = load_style(names=["my_mixer", "zebra", "mamba", "transformer"])
    assert crowd.model("my_mixer") == alone
    assert crowd.model("mamba") == load_style().model("mamba")


def test_thirty_unknown_models_all_differ() -> None:
    names = [f"mixer_{i}" for i in range(30)]
    style = load_style(names=names)
    for a, b in itertools.combinations([*names, *style.listed], 2):
        assert (style.model(a).marker, style.model(a).tone) != (style.model(b).marker, style.model(b).tone)


def test_more_unknown_models_than_looks_is_no_crash() -> None:
    names = [f"mixer_{i}" for i in range(60)]
    assert {load_style(names=names).model(name).tone.light[0] for name in names} == {"#"}


def test_a_broken_style_file_is_told_by_name(tmp_path: object) -> None:
    data = yaml.safe_load(STYLE_FILE.read_text(encoding="utf-8"))
    del data["models"]["mamba"]["marker"]
    with pytest.raises(ValueError, match=r"mine\.yaml.*marker"):
        Style(data, origin="mine.yaml")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_style("nowhere.yaml")


def test_ground_colours_are_attributes() -> None:
    style = load_style()
    assert style.ink == style.ground["ink"].light
    assert isinstance(style.ground["ink"], Tone)
    with pytest.raises(AttributeError):
        _ = style.mauve
