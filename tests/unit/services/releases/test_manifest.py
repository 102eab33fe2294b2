"""A release's version depends on every byte of its bundle."""

from pathlib import Path

import pytest

from services.releases.manifest import ReleaseManifest, fingerprint, version_of
from tierrec_core.base.errors import ArtifactError, SettingsError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "bundle" / "models").mkdir(parents=True)
    (tmp_path / "bundle" / "models" / "weights").write_bytes(b"0123456789")
    (tmp_path / "bundle" / "about.json").write_text("{}")
    return tmp_path / "bundle"


def release_of(bundle: Path) -> ReleaseManifest:
    return ReleaseManifest(bento="shop:1", model=f"shop-bundle:{fingerprint(bundle)}", default_task="next", labels={})


def test_the_fingerprint_does_not_depend_on_the_folder(bundle: Path, tmp_path: Path) -> None:
    before = fingerprint(bundle)
    assert fingerprint(bundle.rename(tmp_path / "elsewhere")) == before


@pytest.mark.parametrize("damage", ["byte", "name", "missing", "extra"])
def test_every_change_of_a_bundle_is_detected(bundle: Path, damage: str) -> None:
    release, weights = release_of(bundle), bundle / "models" / "weights"
    release.verify(bundle)
    match damage:
        case "byte":
            weights.write_bytes(b"0123456780")
        case "name":
            weights.rename(bundle / "models" / "weight")
        case "missing":
            weights.unlink()
        case "extra":
            (bundle / "more").touch()
    with pytest.raises(ArtifactError, match="damaged"):
        release.verify(bundle)


def test_survives_disk(bundle: Path, tmp_path: Path) -> None:
    release = release_of(bundle)
    release.write(tmp_path)
    assert ReleaseManifest.read(tmp_path) == release
    assert release.model_version == fingerprint(bundle)


def test_a_missing_or_invalid_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"release\.json"):
        ReleaseManifest.read(tmp_path)
    (tmp_path / "release.json").write_text('{"bento": "a:1"}')
    with pytest.raises(SettingsError, match="model"):
        ReleaseManifest.read(tmp_path)


def test_parts_of_a_version_are_separated() -> None:
    assert version_of("ab", "c") != version_of("a", "bc")
