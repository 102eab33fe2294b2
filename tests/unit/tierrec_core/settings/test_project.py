"""params.yaml is closed: what is unknown or out of range is named, with the nearest key that exists."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import BlendSettings, Settings, TierSettings, parse, read_settings

ROOT = Path(__file__).parents[4]
SMALL = {"tasks": {"next": {}}, "models": {"popularity": {}}}


def test_the_projects_own_file_is_good() -> None:
    settings = read_settings(ROOT / "params.yaml")
    assert settings.tiers.method == "quantile"
    assert set(settings.tasks) == {"next", "discovery"}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"sead": 3}, r"sead: unknown key; did you mean 'seed'\?"),
        ({"tiers": {"windw_days": 3}}, r"tiers\.windw_days: unknown key; did you mean 'window_days'\?"),
        ({"prepare": {"session_gap": 3}}, r"session_gap: unknown key; did you mean 'session_gap_minutes'\?"),
        ({"tasks": {"next": {"window": 3}}}, r"tasks\.next\.window: .* did you mean 'windows'\?"),
        ({"source": {"kind": "files", "paths": ["a"], "column": 1}}, r"did you mean 'columns'\?"),
        ({"split": {"by": {"kind": "time", "cuts": 0.5}}}, r"did you mean 'cut'\?"),
        ({"tiers": {"min_events_per_users": 3}}, r"did you mean 'min_events_per_user'\?"),
        ({"tiers": {"zzz": 3}}, r"tiers\.zzz: unknown key$"),
        ({"tiers": {"window_days": -1}}, r"tiers\.window_days: .*greater than 0; found -1"),
        ({"tiers": {"method": "dbscan"}}, r"tiers\.method: .*'quantile'.*found 'dbscan'"),
        ({"tiers": {"quantiles": [0.4, float("nan")]}}, r"tiers\.quantiles\.1"),
        ({"split": {"by": {"kind": "time", "cut": 1.5}}}, r"split\.by"),
        (
            {"split": {"by": {"kind": "time", "cut": "last 0 days"}}},
            r"by\.time\.cut: wanted `last 28 days`, .*found 'last 0",
        ),
        ({"split": {"by": {"kind": "time", "cut": "1704067200"}}}, r"by\.time\.cut: wanted `last 28 days`, a date"),
        ({"blend": {"later": {}}}, r"params\.yaml: blend: 'later' is unknown; known in tasks are next$"),
        ({"evaluate": {"baseline": {"later": "ease"}}}, r"evaluate\.baseline: 'later' is unknown; .* are next$"),
        ({"package": {"task": "later"}}, r"package\.task: 'later' is unknown; known in tasks are next$"),
        ({"tasks": {"a b": {}}}, r"tasks\.a b"),
        ({"policy": {"tiers": {"top": {}}}}, r"policy\.tiers: 'top' is unknown; .* are light, medium, heavy$"),
        ({"retrain": {"worht": 1}}, r"retrain\.worht: unknown key; did you mean 'worth'\?"),
        ({"retrain": {"worth": -0.01}}, r"retrain\.worth: .*greater than or equal to 0; found -0.01"),
        ({"retrain": {"worth": float("inf")}}, r"retrain\.worth: .*finite"),
        ({"tiers": {"names": ["a"]}}, r"tiers\.names: .*at least 2"),
        ({"tiers": {"names": ["a", "b", "a"]}}, r"tiers\.names: a name is repeated; wanted distinct names"),
        ({"tiers": {"names": ["a", "b", "c", "d"]}}, r"tiers: quantiles has 2 values for 4 names; wanted .*, 3$"),
        ({"tiers": {"quantiles": [0.8, 0.4]}}, r"tiers: quantiles are not sorted; wanted ascending values"),
        ({"tiers": {"names": ["all", "b", "c"]}}, r"tiers\.names: a tier is named 'all'"),
    ],
)
def test_bad_blocks_are_explained(block: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        parse(Settings, SMALL | block, "params.yaml")
    assert str(caught.value).startswith("params.yaml: ")
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "is not YAML"), ("- 1", "wanted a mapping"), ("", "wanted a mapping"), (None, "cannot be read")],
)
def test_bad_and_missing_files_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)


def test_tasks_and_tiers_have_any_names() -> None:
    raw = {
        "tasks": {"basket": {}, "week": {"repeats": False}},
        "tiers": {"names": ["rare", "often"], "quantiles": [0.7]},
        "blend": {"week": {"num_trees": 7}},
        "evaluate": {"baseline": {"basket": "popularity"}},
        "policy": {"tiers": {"rare": {"novelty": 0.5}}},
    }
    settings = parse(Settings, SMALL | raw, "params.yaml")
    assert settings.default_task == "basket"
    assert (settings.blend_of("week").num_trees, settings.blend_of("basket")) == (7, BlendSettings())
    assert parse(Settings, SMALL | raw | {"package": {"task": "week"}}, "params.yaml").default_task == "week"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TierSettings().hysteresis = 1.0  # type: ignore[misc]
