"""Studies, measured layers, exports and stores, altered by a seed, and files where others belong."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from hostile.profiles import run_if_short
from hostile.words import WORDS, alter
from layerweaver.backend_sim.firmware.export import translated
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.sweep.pages import study_page
from layerweaver.backend_sim.study.sweep.reading import read_study
from layerweaver.backend_sim.study.sweep.sweep import sweep
from layerweaver.backend_sim.study.traffic import traffic
from layerweaver.costmodel import load_npu
from layerweaver.scheduler.compile.measured import score_npu
from layerweaver.scheduler.policies import load_policy

__all__ = ["FurtherFuzzer"]

Keys = dict[str, Any]
LAYERS = "layer,compute_cycles,dram_bytes,weight_bytes\nl,1000,900,800\nm,10,9000,900\n"
MILD = (1, 2, 3, 9, 16, 1000, 10**6, 0.5, 1e-3, 0)
MANY = (0, 10, 9000, 2**30, 2**44, 2**45)
PLACES = ("model", "costs", "profile", "timings", "trace", "lengths", "overrides")
MEASURED = "model,batch,dims,latency_ms\nzoo:ncf,1,,0.5\nzoo:ncf,2,,0.7\nzoo:ncf,4,,0.9\n"


def _altered_table(text: str, chance: random.Random) -> str:
    """A table of which one cell is something else."""
    lines = text.splitlines()
    place = chance.randrange(len(lines))
    cells = lines[place].split(",")
    cells[chance.randrange(len(cells))] = str(chance.choice(WORDS))
    lines[place] = ",".join(cells)
    return "\n".join(lines) + "\n"


class FurtherFuzzer:
    """Alters what scenarios name, and what other commands read.

    Args:
        folder: Where the inputs are written.
        scenario: Makes the keys of a small scenario.
        profile: A schedule profile.
    """

    def __init__(self, folder: Path, scenario: Callable[[random.Random], Keys], profile: Path) -> None:
        self.folder, self._scenario = folder, scenario
        study = self._study(random.Random(0))
        sweep(study, folder / "known")
        files: dict[str, str | bytes] = {
            "swap.csv": LAYERS,
            "swap.yaml": yaml.safe_dump(scenario(random.Random(0))),
            "swap-npu.yaml": "name: x\nclock_mhz: 5\n",
            "swap-study.yaml": yaml.safe_dump(study),
            "swap-measured.csv": MEASURED,
            "swap.lwp": profile.read_bytes(),
            "swap.py": "POLICY = 1\n",
            "swap.json": '{"runs": []}',
            "swap.bin": bytes(range(256)) * 4,
        }
        for name, content in files.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        self._files = [str(folder / name) for name in files] + [str(folder), "/dev/null", "zoo:ncf", "fcfs"]
        self.kinds: dict[str, Callable[[random.Random], None]] = {
            "studies": self._studies,
            "overrides": self._overrides,
            "exports": self._exports,
            "measurements": self._measurements,
            "stores": self._stores,
            "swapped": self._swapped,
            "arrivals": self._arrivals,
        }

    def _study(self, chance: random.Random) -> Keys:
        scenario = self._scenario(chance)
        axes = {
            "npu.dram.bandwidth_gb_s": chance.choice(([100, 200], {"from": 1, "to": 9, "points": 2})),
            "tenants.a.priority": [1, 3],
            "decision_cycles": [0, 5],
        }
        return {"scenario": scenario, "axes": axes, "measure": "cost", "sample": {"kind": "grid"}}

    def _studies(self, chance: random.Random) -> None:
        """Altered keys and axes; a study that is small and only costs is run."""
        keys = self._study(chance)
        for _ in range(chance.choice((1, 1, 3))):
            alter(keys, chance)
        study = read_study(keys)
        if study.total <= 8 and study.spec.measure == "cost":
            shutil.rmtree(self.folder / "swept", ignore_errors=True)
            sweep(keys, self.folder / "swept")

    def _overrides(self, chance: random.Random) -> None:
        """Measured layers of a model of the zoo."""
        layer = chance.choice(("mlp.0", "mlp.1", "l"))
        table = (
            LAYERS.partition("\n")[0]
            + f"\n{layer},{chance.choice(MANY)},9000,800\nmlp.2,10,{chance.choice(MANY)},0\n"
        )
        (self.folder / "own.csv").write_text(
            table if chance.random() < 0.5 else _altered_table(table, chance)
        )
        keys = self._scenario(chance)
        keys["tenants"] = keys["tenants"][:1]
        keys["tenants"][0] |= {"model": "zoo:ncf", "overrides": str(self.folder / "own.csv")}
        if chance.random() < 0.3:
            alter(keys, chance, MILD)
        run_if_short(load_scenario(keys), chance)

    def _exports(self, chance: random.Random) -> None:
        """A scenario as C, in memory."""
        keys = self._scenario(chance)
        for tenant in keys["tenants"]:
            tenant["queue"].pop("timeout_ms")  # is not exported
        if chance.random() < 0.7:
            alter(keys, chance, MILD)
        translated(prepare(load_scenario(keys)), load_policy(chance.choice(("fcfs", "edf", "layerweaver+"))))

    def _measurements(self, chance: random.Random) -> None:
        (self.folder / "measured.csv").write_text(_altered_table(MEASURED, chance))
        score_npu(load_npu("memory-centric"), self.folder / "measured.csv")

    def _stores(self, chance: random.Random) -> None:
        """The folder of a study with altered cells, or bytes."""
        altered = self.folder / "altered"
        shutil.rmtree(altered, ignore_errors=True)
        shutil.copytree(self.folder / "known", altered)
        if chance.random() < 0.3:
            data = bytearray((altered / "study.sqlite").read_bytes())
            for _ in range(3):
                data[chance.randrange(len(data))] = chance.randrange(256)
            (altered / "study.sqlite").write_bytes(data)
        else:
            table, column = chance.choice(
                (
                    ("points", "line"),
                    ("points", "kinds"),
                    ("points", "layout"),
                    ("layouts", "columns"),
                    ("meta", "value"),
                )
            )
            with closing(sqlite3.connect(altered / "study.sqlite")) as database, database:
                rows = [row for (row,) in database.execute(f"SELECT rowid FROM {table}")]
                word = chance.choice([each for each in WORDS if isinstance(each, (str, int, float))])
                value = str(word) if column != "layout" else word
                database.execute(
                    f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = ?", (value, chance.choice(rows))
                )
        study_page(altered, title="x")

    def _swapped(self, chance: random.Random) -> None:
        """A file of one kind where one of another belongs."""
        given = chance.choice(self._files)
        keys = self._scenario(chance)
        tenant = keys["tenants"][0]
        match chance.randrange(9):
            case 0:
                load_npu(given)
            case 1:
                load_policy(given)
            case 2:
                load_policy(Path(given))
            case 3:
                read_study(Path(given))
            case 4:
                score_npu(load_npu("memory-centric"), Path(given))
            case 5:
                study_page(Path(given), title="x")
            case 6:
                run_if_short(load_scenario(Path(given)), chance)
            case 7:
                keys[chance.choice(("npu", "policy"))] = given
                run_if_short(load_scenario(keys), chance)
            case _:
                place = chance.choice(
                    ("model", "costs", "profile", "timings", "trace", "lengths", "overrides")
                )
                match place:
                    case "model":
                        tenant["model"] = given
                    case "trace":
                        tenant["arrival"] = {"kind": "trace", "file": given, "tenant": "*"}
                    case "lengths":
                        tenant |= {"llm": {}, "lengths": {"file": given}, "model": "zoo:gpt2"}
                    case "overrides":
                        tenant |= {"model": "zoo:ncf", "overrides": given}
                    case _:
                        tenant["model"] = {place: given}
                run_if_short(load_scenario(keys), chance)

    def _arrivals(self, chance: random.Random) -> None:
        """The first arrivals of a scenario."""
        keys = self._scenario(chance)
        alter(keys, chance)
        scenario = load_scenario(keys)
        for _ in islice(traffic(scenario), 1000):
            pass
