"""Language models in schedule profiles: what is stored is what was found, and nothing damaged is taken."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.cli.rendering.profiles import profile_tables
from layerweaver.ir import LayerweaverError
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.compile.iterations import iteration_rows
from layerweaver.scheduler.iterations.rows import Term
from layerweaver.scheduler.profile.document import profile_document
from layerweaver.scheduler.profile.file import load_profile, save_profile

CHAT: dict[str, Any] = {
    "name": "chat",
    "model": "zoo:gpt2",
    "llm": {"max_num_seqs": 16, "max_batched_tokens": 256, "kv": {"blocks": 500}},
    "lengths": {"prompt": 100, "output": 5},
    "arrival": {"kind": "poisson", "qps": 20, "seed": 3},
}


@pytest.fixture(scope="module", name="stored")
def _stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "mix.lwp"
    requests = [ModelRequest("chat", "zoo:gpt2", iterations=True), ModelRequest("vision", "zoo:resnet18")]
    save_profile(compile_models(requests, "tpu-v6e"), path)
    return path


def test_comes_back_as_it_was(stored: Path, tmp_path: Path) -> None:
    profile = load_profile(stored)
    kept, found = profile.decoder("chat").rows, iteration_rows("zoo:gpt2", {})
    assert kept.distinct == found.distinct
    assert np.array_equal(kept.row_index, found.row_index)
    assert (kept.cache_elements, kept.parameter_bits) == (found.cache_elements, found.parameter_bits)
    save_profile(profile, tmp_path / "again.lwp")
    assert (tmp_path / "again.lwp").read_bytes() == stored.read_bytes()
    document = profile_document(profile)
    shown = [column.header for table in profile_tables(document, layers=False) for column in table.columns]
    assert "cached elements\nper token" in shown
    (decoder,) = document["decoders"]
    assert (decoder["parameters"], decoder["cache_elements_per_token"]) == (124_439_808, 18_432)


@pytest.mark.parametrize("npu", ["tpu-v6e", None])
def test_serves_without_its_graph(stored: Path, npu: str | None) -> None:
    compiled = {**CHAT, "model": {"profile": str(stored), "entry": "chat"}}
    named = {} if npu is None else {"npu": npu}
    ours = simulate({**named, "min_queries": 20, "tenants": [compiled]}, "edf")
    theirs = simulate({"npu": "tpu-v6e", "min_queries": 20, "tenants": [CHAT]}, "edf")
    for document in (ours, theirs):
        del document["run"], document["scenario"]
    assert ours == theirs


@pytest.mark.parametrize(
    ("tenant", "message"),
    [
        ({"model": {"profile": "PATH", "entry": "vision"}}, "--llm vision"),
        ({"model": {"profile": "PATH", "entry": "chta"}}, "chat"),
        (
            {"model": {"profile": "PATH", "entry": "chat"}, "llm": None, "lengths": None},
            "give the tenant llm",
        ),
    ],
)
def test_wrong_entries(stored: Path, tenant: dict[str, Any], message: str) -> None:
    tenant["model"]["profile"] = str(stored)
    changed = {key: value for key, value in {**CHAT, **tenant}.items() if value is not None}
    with pytest.raises(LayerweaverError, match=message) as refused:
        simulate({"npu": "tpu-v6e", "min_queries": 2, "tenants": [changed]}, "edf")
    assert f"tenants[0].model: {stored}: " in str(refused.value)


Edit = Callable[[dict[str, Any]], Any]

DAMAGE: dict[str, Edit] = {
    "rows": lambda decoder: decoder["row_index"].append(0),
    "row": lambda decoder: decoder["row_index"].__setitem__(0, 10_000),
    "by": lambda decoder: decoder["distinct"][3][0].__setitem__("by", "hope"),
    "extent": lambda decoder: decoder["distinct"][3][0].__setitem__("k", -1),
    "size": lambda decoder: decoder["distinct"][3][0].__setitem__("n", 2**60),
    "coefficients": lambda decoder: decoder["distinct"][0][0]["live"][0]["coefficients"].pop(),
    "unit": lambda decoder: decoder["distinct"][0][0]["outputs"][0].__setitem__("unit", 0),
    "cache": lambda decoder: decoder.__setitem__("cache_elements", 0),
    "joined": lambda decoder: decoder["distinct"][0][0].__setitem__("joined", [[]]),
    "text": lambda decoder: decoder["distinct"][0][0].__setitem__("m", "1"),
    "lacking": lambda decoder: decoder["distinct"][0][0].pop("writes"),
    "labels": lambda decoder: decoder["labels"].pop(),
    "operators": lambda decoder: decoder["labels"][1]["operators"].append("Add"),
    "kind": lambda decoder: decoder["labels"][0].__setitem__("kind", "hope"),
}


@pytest.mark.parametrize("change", DAMAGE)
def test_damaged_ones_are_refused(stored: Path, tmp_path: Path, change: str) -> None:
    with zipfile.ZipFile(stored) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    DAMAGE[change](manifest["decoders"][0])
    members["manifest.json"] = json.dumps(manifest).encode()
    damaged = tmp_path / "damaged.lwp"
    with zipfile.ZipFile(damaged, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(LayerweaverError, match="decoders") as refused:
        load_profile(damaged)
    assert "\n" not in str(refused.value)


def test_more_than_is_counted_is_refused(stored: Path, tmp_path: Path) -> None:
    profile = load_profile(stored)
    (decoder,) = profile.decoders
    every, single = decoder.rows.distinct[-1]
    huge = replace(every, outputs=(Term((0,) * 9 + (2**44,), 16),))
    rows = replace(decoder.rows, distinct=(*decoder.rows.distinct[:-1], (huge, single)))
    save_profile(replace(profile, decoders=(replace(decoder, rows=rows),)), tmp_path / "huge.lwp")
    tenant = {**CHAT, "model": {"profile": str(tmp_path / "huge.lwp")}}
    with pytest.raises(LayerweaverError, match="more than is counted"):
        simulate({"min_queries": 2, "tenants": [tenant]}, "edf")


def test_options_that_iterations_bind_themselves() -> None:
    with pytest.raises(LayerweaverError, match="--batch does not work"):
        compile_models([ModelRequest("chat", "zoo:gpt2", batches=(2,), iterations=True)], "tpu-v6e")
