"""params.yaml of version 0.1.0 is read, with a warning for each former name, as what it is now."""

import warnings
from pathlib import Path

import pytest

from tests.support.projects import ROOT
from tierrec_core.models import registry
from tierrec_core.models.registry import KINDS, RENAMED_KINDS
from tierrec_core.settings import Settings, read_settings

FORMER = Path(__file__).parent / "params_0_1.yaml"
RENAMED_KEYS = {
    "tasks.next.newcomers": "tasks.next.simulated_cold_share",
    "retrieve.own_items": "retrieve.max_repeat_candidates",
    "serving.shelf_depth": "serving.ranked_list_length",
    "serving.fold_half_life_hours": "serving.boost_half_life_hours",
}


def configured(settings: Settings) -> dict[str, object]:
    """Class and Config of each model, by the current name where a model is named after its kind."""
    return {RENAMED_KINDS.get(name, name): registry.configure(name, block) for name, block in settings.models.items()}


def test_former_keys_are_read_with_a_warning_each() -> None:
    with pytest.warns(FutureWarning) as caught:
        settings = read_settings(FORMER)
    told = [str(warning.message) for warning in caught]
    assert len(told) == len(RENAMED_KEYS)
    for old, new in RENAMED_KEYS.items():
        assert any(f"params_0_1.yaml: {old} is now {new}; " in text and "0.3" in text for text in told)

    current = read_settings(ROOT / "params.yaml")
    baseline = {task: RENAMED_KINDS.get(name, name) for task, name in settings.evaluate.baseline.items()}
    changed = {
        "models": current.models,
        "split": current.split,
        "evaluate": settings.evaluate.model_copy(update={"baseline": baseline}),
    }
    assert settings.model_copy(update=changed) == current


def test_former_kinds_are_read_with_a_warning_each() -> None:
    with pytest.warns(FutureWarning) as caught:
        former = configured(read_settings(FORMER))
    told = " ".join(str(warning.message) for warning in caught)
    assert "models.repeat.kind: repeat is now kind: tifu_knn" in told
    assert "models.seed_mf.kind: seed_mf is now kind: symmetric_mf" in told
    assert former == configured(read_settings(ROOT / "params.yaml"))


def test_the_projects_own_file_has_no_former_name() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        configured(read_settings(ROOT / "params.yaml"))


def test_a_model_of_a_former_kind_can_be_loaded_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        assert registry.kind("repeat") is registry.kind("tifu_knn")


def test_former_kinds_have_the_folder_that_dvc_yaml_depends_on() -> None:
    assert not set(RENAMED_KINDS) & set(KINDS)
    for former, current in RENAMED_KINDS.items():
        assert current in KINDS
        assert (ROOT / "tierrec_core" / "models" / former / "__init__.py").is_file()
