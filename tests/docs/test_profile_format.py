"""The reader that the page on the format prints reads what ``compile`` writes; the page names all of it."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.profile.file import load_profile, save_profile
from layerweaver.scheduler.profile.manifest import VERSION

PAGE = (Path(__file__).parents[2] / "docs" / "profile-format.md").read_text(encoding="utf-8")
READER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]


@pytest.fixture(scope="module")
def profile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from layerweaver.costmodel import load_npu

    requests = [
        ModelRequest(entry="vision", source="zoo:resnet18", batches=(1, 4)),
        ModelRequest(entry="ncf", source="zoo:ncf", batches=(2,)),
    ]
    path = tmp_path_factory.mktemp("profiles") / "mix.lwp"
    save_profile(compile_models(requests, load_npu("memory-centric")), path)
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import importlib.util

    path = tmp_path_factory.mktemp("reader") / "reader_of_the_page.py"
    path.write_text(READER)
    spec = importlib.util.spec_from_file_location("reader_of_the_page", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_profile


def test_the_reader_is_short_and_needs_numpy_only() -> None:
    assert len(READER.splitlines()) <= 60
    assert set(re.findall(r"^import (\w+)", READER, re.MULTILINE)) == {"io", "json", "zipfile", "numpy"}
    assert "layerweaver." not in READER


def test_it_reads_what_compile_wrote(profile_file: Path, reader: Any) -> None:
    manifest, entries = reader(profile_file)
    profile = load_profile(profile_file)
    assert set(entries) == {(entry.entry, entry.table.batch) for entry in profile.entries}
    assert manifest["machine"]["clock_hz"] == profile.machine.clock_hz
    for entry in profile.entries:
        found, table = entries[entry.entry, entry.table.batch], entry.table
        names = ("compute_cycles", "dram_bytes", "weight_bytes", "live_bytes", "layer_index", "memory_cycles")
        for name in names:
            np.testing.assert_array_equal(found[name], getattr(table, name))
        np.testing.assert_array_equal(found["remaining_cycles"], entry.offline.remaining_cycles)
        np.testing.assert_array_equal(found["inherent_idle_cycles"], entry.offline.inherent_idle_cycles)
        assert found["layers"] == [table.layer_names[k] for k in table.layer_index]


def test_it_refuses_other_files(profile_file: Path, reader: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(profile_file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    for change, what in (
        ({"version": 99}, f"newer than {VERSION}"),
        ({"format": "other"}, "not a schedule profile"),
    ):
        path = tmp_path / "other.lwp"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", json.dumps(manifest | change))
        with pytest.raises(ValueError, match=what):
            reader(path)


def test_the_page_names_every_key_and_member(profile_file: Path) -> None:
    with zipfile.ZipFile(profile_file) as archive:
        manifest, names = json.loads(archive.read("manifest.json")), archive.namelist()
    keys = {*manifest, *manifest["machine"], *manifest["entries"][0]}
    for key in keys:
        assert f"`{key}`" in PAGE, key
    for name in names[1:]:
        plain = Path(name).stem.removeprefix("spill_")
        assert f"`{plain}`" in PAGE, name


def test_the_page_names_every_key_of_every_record() -> None:
    from layerweaver.scheduler.profile import manifest

    for record in (manifest.WeaveRecord, manifest.DecoderRecord, manifest.Manifest):
        for key in record.model_fields:
            assert f"`{key}`" in PAGE, key
    assert f"NEWEST = {manifest.VERSION}" in READER
