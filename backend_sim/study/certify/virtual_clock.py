"""Compiling the virtual clock once, into a cache folder, with the system's C++ compiler."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

from layerweaver.ir import OutputError, ScenarioError
from layerweaver.ir.cache import Cache

__all__ = ["CLOCK", "virtual_clock"]

_COMPILERS = ("c++", "g++", "clang++")
CLOCK = Cache("virtual-clock", most_bytes=1 << 22)


def virtual_clock(folder: Path) -> Path:
    """Put the shared object of the virtual clock into a folder; it is compiled at first use.

    Raises:
        ScenarioError: If there is no compiler.
        OutputError: If it does not compile.
    """
    source = files("layerweaver.backend_sim.study.certify").joinpath("virtual_clock.cpp").read_bytes()
    built = folder / "virtual_clock.so"
    name = hashlib.sha256(source + platform.machine().encode()).hexdigest()[:32]
    kept = CLOCK.read(name)
    if kept is not None:
        built.write_bytes(kept)
        return built
    compiler = os.environ.get("CXX") or next((name for name in _COMPILERS if shutil.which(name)), None)
    if compiler is None or shutil.which(compiler.split()[0]) is None:
        raise ScenarioError(
            "certifying needs a C++ compiler, and none was found", accepted="install g++, or set CXX"
        )
    code = folder / "virtual_clock.cpp"
    code.write_bytes(source)
    command = [*compiler.split(), "-std=c++17", "-O2", "-shared", "-fPIC", "-o", str(built), str(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise OutputError(f"the virtual clock does not compile: {lines[0][:300]}", where=compiler)
    CLOCK.write(name, built.read_bytes())
    return built
