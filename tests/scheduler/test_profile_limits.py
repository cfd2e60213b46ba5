"""What a profile file may hold is bounded when it is read and when it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles.random_inputs import profile_of

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ProfileError
from layerweaver.scheduler.profile import container, file, manifest
from layerweaver.scheduler.profile.file import load_profile, save_profile
from layerweaver.scheduler.profile.profile import Profile, Provenance

MACHINE = MachineSpec("unit", 10**9, 13, 7, 5000)


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        (manifest, "MAX_LAYERS", ("4 layers in all; at most 3 are accepted", "4 layers in all")),
        (container, "MAX_MANIFEST_BYTES", (None, "its manifest is larger than 3 bytes")),
        (file, "MAX_MANIFEST_BYTES", ("at most 3 and", None)),
        (file, "MAX_VALUES", ("at most 67108864 and 3", None)),
    ],
)
def test_limits_of_a_profile(
    module: object,
    name: str,
    said: tuple[str | None, str | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written, read = said
    entries = tuple(profile_of(each, MACHINE, [(5, 5, 5, 5)] * 2) for each in "ab")
    profile = Profile({"name": "unit"}, MACHINE, entries, (Provenance("s", "", {}, {}, {}, "0", ()),) * 2)
    save_profile(profile, tmp_path / "good.lwp")
    monkeypatch.setattr(module, name, 3)
    if read is None:
        load_profile(tmp_path / "good.lwp")
    else:
        with pytest.raises(ProfileError, match=read):
            load_profile(tmp_path / "good.lwp")
    if written is None:
        save_profile(profile, tmp_path / "new.lwp")
    else:
        with pytest.raises(ProfileError, match=written):
            save_profile(profile, tmp_path / "new.lwp")
        assert not (tmp_path / "new.lwp").exists()
