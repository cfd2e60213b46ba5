"""Small cores: how C is compiled for them, and an emulator that counts what they execute.

Both come with the extra ``firmware``: ``ziglang`` cross compiles, ``unicorn`` emulates. An instruction
is counted whenever it is executed; how many cycles it takes is the core's affair.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from layerweaver.ir import OutputError
from layerweaver.ir.extras import need_extra

__all__ = ["CORES", "Core", "Image", "Machine", "build", "need_tools"]

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffreestanding")
OPTIMIZED = "-Os"
_STACK, _STACK_BYTES = 0x3000_0000, 1 << 16
_RETURN = 0x3F00_0000
_EXECUTABLE, _SYMBOLS, _LOADED = 4, 2, 1
_FUNCTION = 2


@dataclass(frozen=True, slots=True)
class Core:
    """A core and how it is compiled for.

    Attributes:
        name: Its name in results.
        target: The compiler's target.
        cpu: The compiler's processor.
        thumb: Whether it is an Arm core with Thumb instructions; else it is RISC-V.
    """

    name: str
    target: str
    cpu: str
    thumb: bool


CORES = (
    Core("rv32imc", "riscv32-freestanding-none", "generic_rv32+m+c", thumb=False),
    Core("armv7-m", "thumb-freestanding-eabi", "cortex_m3", thumb=True),
)


@dataclass(frozen=True, slots=True)
class Image:
    """A linked program.

    Attributes:
        segments: Address and bytes of what is loaded.
        functions: Address of every function by its name.
        code_bytes: Bytes of machine code and of constants beside it in ``lw_sched.o``.
    """

    segments: tuple[tuple[int, bytes], ...]
    functions: Mapping[str, int]
    code_bytes: int


def need_tools(where: str) -> None:
    """Refuse to measure without compiler or emulator.

    Raises:
        OutputError: If one is missing.
    """
    need_extra("ziglang", "compiling for small cores", "firmware", where)
    need_extra("unicorn", "counting instructions", "firmware", where)


def build(texts: Mapping[str, str], core: Core) -> Image:
    """Compile and link the scheduler for a core.

    Raises:
        OutputError: If the compiler refuses it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("lw_tables.h", "lw_tables.c", "lw_sched.h", "lw_sched.c"):
            (folder / file).write_text(texts[file], encoding="utf-8")
        common = (OPTIMIZED, "-target", core.target, f"-mcpu={core.cpu}")
        for file in ("lw_tables", "lw_sched"):
            _compile(folder, (*STRICT, *common, "-c", f"{file}.c", "-o", f"{file}.o"))
        link = (
            "-nostartfiles",
            "-static",
            "-Wl,--entry=lw_decide",
            "-Wl,--no-gc-sections",
            "-g",
            "lw_sched.o",
            "lw_tables.o",
            "-o",
            "image",
        )
        _compile(folder, (*common, *link))
        code = sum(
            size for flags, size in _sections((folder / "lw_sched.o").read_bytes()) if flags & _EXECUTABLE
        )
        return _loaded((folder / "image").read_bytes(), code)


def _compile(folder: Path, words: tuple[str, ...]) -> None:
    environment = os.environ | {"ZIG_LOCAL_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OutputError(f"the cross compiler says: {done.stderr.strip()[:300]}", where="--measure")


def _sections(data: bytes) -> list[tuple[int, int]]:
    """Flags and bytes of every section of a 32-bit little-endian ELF file."""
    return [(entry[2], entry[5]) for entry in _section_headers(data)]


def _section_headers(data: bytes) -> list[tuple[int, ...]]:
    first = struct.unpack_from("<I", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 46)
    return [struct.unpack_from("<10I", data, first + size * k) for k in range(count)]


def _loaded(data: bytes, code_bytes: int) -> Image:
    first = struct.unpack_from("<I", data, 28)[0]
    size, count = struct.unpack_from("<HH", data, 42)
    segments = []
    for k in range(count):
        kind, offset, address, _, in_file, in_memory, _, _ = struct.unpack_from("<8I", data, first + size * k)
        if kind == _LOADED:
            segments.append((address, data[offset : offset + in_file].ljust(in_memory, b"\0")))
    functions = {}
    headers = _section_headers(data)
    for _, kind, _, _, offset, length, link, *_ in headers:
        if kind == _SYMBOLS:
            names = headers[link][4]
            for at in range(offset, offset + length, 16):
                name, value, _, info = struct.unpack_from("<IIIB", data, at)
                if info & 15 == _FUNCTION:
                    begin = names + name
                    functions[data[begin : data.index(b"\0", begin)].decode()] = value
    return Image(tuple(segments), functions, code_bytes)


class Machine:
    """An emulated core with a program in its memory.

    Args:
        core: The core.
        image: The program.
        room: Address and bytes of memory for data.
    """

    def __init__(self, core: Core, image: Image, room: tuple[int, int]) -> None:
        unicorn: Any = import_module("unicorn")
        names: Any = import_module(f"unicorn.{'arm' if core.thumb else 'riscv'}_const")
        self._core, self._image = core, image
        if core.thumb:
            mode = unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
            self._emulator: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, mode)
            self._given = [getattr(names, f"UC_ARM_REG_R{k}") for k in range(4)]
            self._stack, self._link = names.UC_ARM_REG_SP, names.UC_ARM_REG_LR
        else:
            self._emulator = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
            self._given = [getattr(names, f"UC_RISCV_REG_A{k}") for k in range(4)]
            self._stack, self._link = names.UC_RISCV_REG_SP, names.UC_RISCV_REG_RA
        self._executed = 0
        self._counts: dict[tuple[int, int], int] = {}
        pages = {
            page
            for address, data in image.segments
            for page in range(address >> 12, (address + len(data) + 4095) >> 12)
        }
        for page in pages:
            self._emulator.mem_map(page << 12, 4096)
        for address, data in image.segments:
            self._emulator.mem_write(address, data)
        self._emulator.mem_map(_STACK, _STACK_BYTES)
        self._emulator.mem_map(_RETURN, 4096)
        self._emulator.mem_map(room[0], -(-room[1] // 4096) * 4096)
        self._emulator.hook_add(unicorn.UC_HOOK_BLOCK, self._block)

    def _block(self, _emulator: Any, address: int, size: int, _data: Any) -> None:
        key = address, size
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = self._instructions(address, size)
        self._executed += count

    def _instructions(self, address: int, size: int) -> int:
        """Instructions in a piece of code: of two bytes or four, as the first two say."""
        code, at, count = bytes(self._emulator.mem_read(address, size)), 0, 0
        while at < size:
            half = code[at] | code[at + 1] << 8
            long = half >> 11 in (0b11101, 0b11110, 0b11111) if self._core.thumb else half & 3 == 3
            at += 4 if long else 2
            count += 1
        return count

    def write(self, address: int, data: bytes) -> None:
        """Write memory."""
        self._emulator.mem_write(address, data)

    def read(self, address: int, size: int) -> bytes:
        """Read memory."""
        return bytes(self._emulator.mem_read(address, size))

    def call(self, function: str, *words: int) -> tuple[int, int]:
        """Call a function with words of 32 bits, as the core's convention has them: registers, then stack.

        Returns:
            The first result register and how many instructions were executed.
        """
        stack = _STACK + _STACK_BYTES - 256
        for register, word in zip(self._given, words, strict=False):
            self._emulator.reg_write(register, word & 0xFFFF_FFFF)
        for k, word in enumerate(words[4:]):
            self._emulator.mem_write(stack + 4 * k, struct.pack("<I", word & 0xFFFF_FFFF))
        self._emulator.reg_write(self._stack, stack)
        self._emulator.reg_write(self._link, _RETURN | int(self._core.thumb))
        self._executed = 0
        entry = self._image.functions[function] | int(self._core.thumb)
        self._emulator.emu_start(entry, _RETURN)
        result: int = self._emulator.reg_read(self._given[0])
        return result, self._executed

    def second(self) -> int:
        """The second result register: the upper half of a result of 64 bits."""
        found: int = self._emulator.reg_read(self._given[1])
        return found
