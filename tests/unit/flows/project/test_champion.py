"""Every room finds the same shop, and every command names the same champion."""

from pathlib import Path

import pytest

from flows.project.champion import pointer_path, read_pointer
from services.releases import pointer as pointers
from services.releases.manifest import SmokeReport
from services.shared_files import serving_folder
from services.tenants.shops import DEFAULT, ShopsSettings
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout


def report(tag: str) -> dict[str, object]:
    return {"tag": tag, "model": f"{tag}-model", "smoke": {"next": {"users": 3, "identical": 3}}}


@pytest.mark.parametrize("named", [None, "elsewhere"])
def test_loop_commands_and_service_have_one_serving_folder(
    named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIERREC_SHOPS", raising=False)
    if named:
        monkeypatch.setenv("TIERREC_STATE", named)
    else:
        monkeypatch.delenv("TIERREC_STATE", raising=False)
    expected = (tmp_path / (named or "data/serving")).resolve()
    layout = Layout(Path.cwd())
    service = ShopsSettings.from_environment().shops[DEFAULT].folder
    assert {serving_folder(layout).resolve(), pointer_path(layout).parent.resolve(), service.resolve()} == {expected}
    assert serving_folder(layout, tmp_path / "given") == tmp_path / "given"


def test_the_packaged_bento_is_the_champion_until_a_pointer_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERREC_STATE", str(tmp_path / "shop"))
    layout = Layout(tmp_path)
    assert read_pointer(layout) is None
    artifacts.write_json(report("shop:1"), layout.bento)
    pointer = read_pointer(layout)
    assert pointer is not None
    assert (pointer.champion.bento, pointer.challenger) == ("shop:1", None)
    pointers.deploy(pointer_path(layout), SmokeReport.model_validate(report("shop:0")), 0.0)
    pointer = read_pointer(layout)
    assert pointer is not None
    assert pointer.champion.bento == "shop:0"
