"""Scenarios, profiles, cost tables, traces and results, altered by a seed, and run if they are accepted."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from hostile.further import FurtherFuzzer
from hostile.profiles import POLICIES, ProfileFuzzer, arrivals_of, run_if_short
from hostile.words import WORDS, alter
from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.costmodel import load_npu
from layerweaver.ir import LayerweaverError
from layerweaver.ir.json_text import parse_json

__all__ = ["Fuzzer"]

TOKENS = (1, 2, 3, 16, 63, 511, 1000, 10**5, 10**6, 10**7, 10**9, 1e-6, 1e-3, 0.5, 1e6, 1e8, 0, -1)


class Fuzzer:
    """Alters inputs in a folder and uses them.

    Args:
        folder: Where the inputs are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._profiles = ProfileFuzzer(folder)
        self._result = json.dumps(simulate(self._scenario(random.Random(0)), "fcfs"))
        self.kinds: dict[str, Callable[[random.Random], None]] = {
            "profiles": self._profiles.attempt,
            "scenarios": self._keys,
            "tokens": self._tokens,
            "costs": self._costs,
            "traces": self._trace,
            "results": self._report,
            **FurtherFuzzer(folder, self._scenario, self._profiles.path).kinds,
        }

    def attempt(self, number: int, kinds: Sequence[str]) -> bool:
        """One altered input of one of the kinds; True if it was used, False if it was refused in one line.

        Raises:
            Exception: Whatever is not a refusal.
        """
        chance = random.Random(number)
        kind = self.kinds[chance.choice(kinds)]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                kind(chance)
        except LayerweaverError as error:
            if "\n" in str(error) or not str(error).isprintable():
                raise ValueError("the refusal is not one printable line") from error
            return False
        return True

    def keep(self, folder: Path) -> None:
        """Copy the inputs of the last attempt."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)

    def _scenario(self, chance: random.Random) -> dict[str, Any]:
        (self.folder / "costs.csv").write_text(
            "layer,compute_cycles,dram_bytes,weight_bytes\nl,1000,900,800\nm,10,9000,900\n"
        )
        queries = chance.choice((1, 5, 30))
        tenants = [
            {
                "name": name,
                "model": {"costs": str(self.folder / "costs.csv")},
                "deadline_ms": chance.choice((0.01, 1, 1000)),
                "arrival": chance.choice(arrivals_of(queries)),
                "priority": chance.choice((1, 3, 9)),
                "queue": {"limit": 9, "timeout_ms": 0.1},
            }
            for name in ("a", "b")
        ]
        spans = {"duration_s": 0.002, "warmup_s": chance.choice((0, 0.001)), "cooldown_s": 0.0005}
        return {
            "npu": "memory-centric",
            **spans,
            "dispatch_ahead": 0,
            "decision_cycles": 3,
            "tenants": tenants,
        }

    def _use(self, keys: dict[str, Any], chance: random.Random) -> None:
        (self.folder / "scenario.yaml").write_text(yaml.safe_dump(keys))
        run_if_short(load_scenario(self.folder / "scenario.yaml"), chance)

    def _tokens(self, chance: random.Random) -> None:
        """A language model beside another, with one to three altered numbers."""
        chat = {
            "name": "chat",
            "model": {"profile": str(self._profiles.decoder_path), "entry": "chat"},
            "llm": {
                "max_num_seqs": 4,
                "max_batched_tokens": 64,
                "max_model_len": 512,
                "long_prefill_threshold": 0,
                "scheduling": chance.choice(("vllm-v1", "prefill-first", "static")),
                "boundary": chance.choice(("async", "sync")),
                "step_overhead_us": 0.1,
                "kv": {"block": 16, "blocks": 40, "watermark": 0.01, "tile_mb": 1},
            },
            "lengths": {"prompt": 30, "output": 3},
            "deadline": {"ttft_ms": 10, "tpot_ms": 1, "itl_ms": 2},
            "arrival": {"kind": "poisson", "qps": 5000, "seed": 1},
        }
        other = self._scenario(chance)["tenants"][0]
        tenants = [chat, other][: chance.choice((1, 2))]
        keys: dict[str, Any] = {"npu": "memory-centric", "duration_s": 0.002, "tenants": tenants}
        for _ in range(chance.choice((1, 1, 3))):
            alter(keys, chance, TOKENS)
        run_if_short(load_scenario(keys), chance, POLICIES[1:])

    def _keys(self, chance: random.Random) -> None:
        keys = self._scenario(chance)
        for _ in range(chance.choice((1, 1, 3))):
            alter(keys, chance)
        self._use(keys, chance)

    def _costs(self, chance: random.Random) -> None:
        keys = self._scenario(chance)
        lines = (self.folder / "costs.csv").read_text().splitlines()
        cells = lines[chance.randrange(1, len(lines))].split(",")
        cells[chance.randrange(len(cells))] = str(chance.choice(WORDS))
        lines[chance.randrange(len(lines))] = ",".join(cells)
        (self.folder / "costs.csv").write_text("\n".join(lines) + "\n")
        self._use(keys, chance)

    def _trace(self, chance: random.Random) -> None:
        keys = self._scenario(chance)
        rows = [
            "tenant,query,arrival_ns",
            *(f"a,{k},{k * chance.choice((10, 10**5))}" for k in range(9)),
            "b,0,0",
        ]
        cells = rows[chance.randrange(len(rows))].split(",")
        cells[chance.randrange(len(cells))] = str(chance.choice(WORDS))
        rows[chance.randrange(len(rows))] = ",".join(cells)
        (self.folder / "trace.csv").write_text("\n".join(rows) + "\n")
        for tenant in keys["tenants"]:
            tenant["arrival"] = {
                "kind": "trace",
                "file": str(self.folder / "trace.csv"),
                "sort": chance.random() < 0.5,
            }
        self._use(keys, chance)

    def _report(self, chance: random.Random) -> None:
        document = json.loads(self._result)
        alter(document, chance)
        text = json.dumps(document).encode()
        (self.folder / "result.json").write_bytes(text)
        try:
            parsed = parse_json(text)
        except ValueError as error:
            raise LayerweaverError(str(error)) from None
        build_report([parsed], names=["result.json"]).encode()
        load_npu({"name": "x", chance.choice(("clock_mhz", "array", "sram")): chance.choice(WORDS)})
