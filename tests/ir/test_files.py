"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from layerweaver.ir import OutputError, atomic_write, write_text


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    write_text(target, "old")

    def interrupted_write() -> None:
        with atomic_write(target) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["missing/out.json", "."])
def test_places_that_cannot_be_written_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"give (a|the) path"):
        write_text(tmp_path / name, "x")
