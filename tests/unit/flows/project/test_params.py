"""`--set` edits params.yaml like a person: comments stay, and nothing invalid is written."""

import shutil
from pathlib import Path

import pytest

from flows.project.params import replace_sections, set_values
from tests.support.projects import ROOT
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import read_settings


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def test_value_is_typed_and_everything_else_stays(params: Path) -> None:
    before = params.read_text()
    set_values(params, ["seed=11"])
    assert read_settings(params).seed == 11
    assert params.read_text() == before.replace("seed: 7", "seed: 11")


def test_missing_sections_are_made(params: Path) -> None:
    set_values(params, ["evaluate.bootstraps=50"])
    assert read_settings(params).evaluate.bootstraps == 50


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("sed=3", "did you mean 'seed'"),
        ("evaluate.list_lenth=3", "did you mean 'list_length'"),
        ("tiers.quantiles=[0.3, 9]", "less than or equal to 1"),
        ("seed.x=3", "not a section"),
        ("seed", "wanted key=value"),
        ("models.eas={}", "did you mean 'ease'"),
    ],
)
def test_bad_value_is_named_and_not_written(params: Path, assignment: str, words: str) -> None:
    before = params.read_bytes()
    with pytest.raises(SettingsError, match=words):
        set_values(params, [assignment])
    assert params.read_bytes() == before


def test_dates_are_written_as_text_which_dvc_can_read(params: Path) -> None:
    set_values(params, ["split.by.cut=2017-06-01"])
    assert read_settings(params).split.by.cut.isoformat() == "2017-06-01T00:00:00"
    assert "cut: '2017-06-01'" in params.read_text()


def test_sections_are_replaced_whole(params: Path) -> None:
    replace_sections(params, {"source": {"kind": "files", "paths": ("a.csv",)}})
    assert read_settings(params).source.kind == "files"
    assert params.read_text().startswith("# All options")
