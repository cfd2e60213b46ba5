"""Compiling the virtual clock once, into a cache folder, with the system's C++ compiler."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

from layerweaver.ir import OutputError, ScenarioError

__all__ = ["virtual_clock"]

_COMPILERS = ("c++", "g++", "clang++")


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "layerweaver"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="layerweaver-"))
    return folder


def virtual_clock() -> Path:
    """The shared object of the virtual clock, compiled at first use.

    Raises:
        ScenarioError: If there is no compiler.
        OutputError: If it does not compile or cannot be kept.
    """
    source = files("layerweaver.backend_sim.study.certify").joinpath("virtual_clock.cpp").read_bytes()
    folder = _cache_folder()
    target = folder / f"virtual_clock-{hashlib.sha256(source).hexdigest()[:16]}.so"
    if target.is_file():
        return target
    compiler = os.environ.get("CXX") or next((name for name in _COMPILERS if shutil.which(name)), None)
    if compiler is None or shutil.which(compiler.split()[0]) is None:
        raise ScenarioError(
            "certifying needs a C++ compiler, and none was found", accepted="install g++, or set CXX"
        )
    with tempfile.TemporaryDirectory(dir=folder) as work:
        code, built = Path(work) / "virtual_clock.cpp", Path(work) / "virtual_clock.so"
        code.write_bytes(source)
        command = [*compiler.split(), "-std=c++17", "-O2", "-shared", "-fPIC", "-o", str(built), str(code)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise OutputError(f"the virtual clock does not compile: {lines[0][:300]}", where=compiler)
        built.replace(target)
    return target
