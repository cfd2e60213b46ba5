"""Every command and every code block of the documentation runs.

A block that cannot run here says so, visibly, in the paragraph before it: ``Not run by the tests: REASON``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md"))
    if path.exists()
)
SHELL = {"bash", "sh", "shell", "console"}
GATE = ("git clone", "pip install", "python -m pip", "pytest", ".ci/run", "scripts/install-chromium")
"""Commands that set up or run these very tests: the gate runs them."""


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int
    reason: str


def blocks(page: Path) -> list[Block]:
    found = []
    before = ""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        fence = re.match(r"```(\w*)", lines[number])
        if fence is None:
            before = lines[number] or before
            number += 1
            continue
        end = next(i for i in range(number + 1, len(lines)) if lines[i].startswith("```"))
        reason = re.search(r"Not run by the tests: (.+)", before)
        text = "\n".join(lines[number + 1 : end]) + "\n"
        found.append(Block(fence.group(1).lower(), text, number + 1, reason.group(1) if reason else ""))
        before, number = "", end + 1
    return found


def runnable(block: Block) -> bool:
    commands = [line.strip().removeprefix("$ ") for line in block.text.splitlines() if line.strip()]
    gated = any(part.strip().startswith(GATE) for line in commands for part in line.split("&&"))
    return block.language in SHELL | {"python", "py"} and not block.reason and not gated


def identifier(page: Path) -> str:
    return str(page.relative_to(ROOT))


RUN = [page for page in PAGES if any(runnable(block) for block in blocks(page))]


def test_the_pages_are_found() -> None:
    assert {"docs/tutorial.md", "docs/how-to.md"} <= {identifier(page) for page in RUN}


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=identifier)
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1"}
    for block in blocks(page):
        if not runnable(block):
            continue
        if block.language in SHELL:
            text = "\n".join(line.removeprefix("$ ") for line in block.text.splitlines())
            command = ["bash", "-euo", "pipefail", "-c", text]
        else:
            command = [sys.executable, "-W", "error", "-c", block.text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{page.name}:{block.line}\n{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_data_blocks_parse(page: Path) -> None:
    for block in blocks(page):
        if block.language in {"yaml", "yml"}:
            yaml.safe_load(block.text)


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        assert (page.parent / target.split("#")[0]).exists(), f"{page.name} links to {target}"


def test_the_index_lists_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\(([^)#\s]+)\)", index))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=identifier)
def test_every_block_says_what_it_is(page: Path) -> None:
    known = SHELL | {"python", "py", "yaml", "yml", "text", "csv", "json", "toml"}
    for block in blocks(page):
        assert block.language in known, f"{page.name}:{block.line} has a block of language {block.language!r}"
