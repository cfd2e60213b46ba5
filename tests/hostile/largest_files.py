"""The largest files of every other kind that are accepted, in the same way as the models."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

__all__ = ["FILES", "Build", "count_of", "scenario_of", "tenant_of"]

Build = Callable[[Path, float], list[str]]
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
COSTS = "layer,compute_cycles,dram_bytes,weight_bytes\n"


def count_of(most: int, share: float) -> int:
    """That share of the most, at least three."""
    return max(3, int(most * share))


def tenant_of(name: str, model: Any, **more: Any) -> dict[str, Any]:
    """A tenant with one request, unless told otherwise."""
    arrival = more.pop("arrival", {"kind": "saturated", "queries": 1})
    return {"name": name, "model": model, "arrival": arrival, **more}


def scenario_of(folder: Path, tenants: list[dict[str, Any]], **keys: Any) -> list[str]:
    """A scenario of tenants, and the words that simulate it."""
    (folder / "one.csv").write_text(COSTS + "l,1000,900,800\n")
    path = folder / "scenario.yaml"
    document = {"npu": "memory-centric", "policy": "fcfs", **keys, "tenants": tenants}
    path.write_text(yaml.dump(document, Dumper=DUMPER))
    return ["simulate", str(path), "--json"]


def named(*builds: Build) -> dict[str, Build]:
    """Builders by their names, in words."""
    return {build.__name__.replace("_", " "): build for build in builds}


def tenants(folder: Path, share: float) -> list[str]:
    """As many tenants as may be, under the policy that looks at most."""
    count = count_of(1000, share)
    each = [tenant_of(f"t{k}", {"costs": "one.csv"}) for k in range(count)]
    return scenario_of(folder, each, policy="layerweaver+")


def zoo_tenants(folder: Path, share: float) -> list[str]:
    """300 tenants with models of the zoo on each of three NPUs."""
    pool = [{"npu": name} for name in ("memory-centric", "compute-centric", "tpu-v6e")]
    each = [
        tenant_of(f"t{k}", "zoo:resnet50", arrival={"kind": "periodic", "period_ms": 10})
        for k in range(count_of(300, share))
    ]
    return scenario_of(folder, each, npu=None, pool=pool, duration_s=0.1)


def batch_sizes(folder: Path, share: float) -> list[str]:
    """As many batch sizes as may be compiled."""
    sizes = list(range(1, count_of(4096, share) + 1))
    batch = {"max": sizes[-1], "sizes": sizes}
    return scenario_of(folder, [tenant_of(name, "zoo:mobilenetv2", batch=batch) for name in "ab"])


def scenario_values(folder: Path, share: float) -> list[str]:
    """A scenario of as many values as its text can hold."""
    values = {"p": [0] * count_of(60_000, share)}
    return scenario_of(folder, [tenant_of("a", "zoo:resnet50", values=values)])


def yaml_flow(folder: Path, share: float) -> list[str]:
    """A document with as many values as its text can hold: refused, but read before."""
    path = folder / "npu.yaml"
    path.write_text("a: [" + "0," * int(500_000 * share) + "0]\n")
    return ["npu", "check", str(path)]


def yaml_nested(folder: Path, share: float) -> list[str]:
    """The same of empty mappings."""
    path = folder / "npu.yaml"
    path.write_text("a: [" + "{}," * int(340_000 * share) + "0]\n")
    return ["npu", "check", str(path)]


def npu_config(folder: Path, share: float) -> list[str]:
    """An NPU config with as many mistakes as it has room for."""
    path = folder / "npu.yaml"
    path.write_text("name: x\n" + "".join(f"key{k}: {{a: 1}}\n" for k in range(count_of(49_000, share))))
    return ["npu", "check", str(path)]


def _layers(count: int, length: int = 480) -> str:
    return COSTS + "".join(f"{'l' * length}{k},10,9,8\n" for k in range(count))


def costs(folder: Path, share: float) -> list[str]:
    """The longest cost table, with the longest names."""
    words = scenario_of(folder, [tenant_of("a", {"costs": "big.csv"})])
    (folder / "big.csv").write_text(_layers(count_of(100_000, share)))
    return words


def costs_of_sizes(folder: Path, share: float) -> list[str]:
    """As many rows of own costs as a scenario may have."""
    (folder / "big.csv").write_text(_layers(count_of(100_000, share)))
    tables = {str(size): "big.csv" for size in range(1, 11)}
    batch = {"max": 10, "sizes": list(range(1, 11))}
    return scenario_of(folder, [tenant_of("a", {"costs": tables}, batch=batch)])


def csv_of_commas(folder: Path, share: float) -> list[str]:
    """A table that is one row of nothing but commas: refused, but read before."""
    words = scenario_of(folder, [tenant_of("a", {"costs": "big.csv"})])
    (folder / "big.csv").write_text("," * int((64 << 20) * share * 0.99))
    return words


def _rows(path: Path, head: str, row: str, count: int) -> None:
    """A packed file of one line over and over."""
    block = (row * 10_000).encode()
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(head.encode())
        for _ in range(max(1, count // 10_000)):
            stream.write(block)


def _trace(kind: str, head: str, row: str, most: int, **keys: Any) -> Build:
    def build(folder: Path, share: float) -> list[str]:
        _rows(folder / "trace.gz", head, row, count_of(most, share))
        arrival = {"kind": "trace", "file": "trace.gz", "format": kind, "tenant": "*", **keys}
        if kind in {"azure-llm", "burstgpt", "mooncake"}:
            arrival["tokens"] = "ignore"
            del arrival["tenant"]
        return scenario_of(folder, [tenant_of("a", {"costs": "one.csv"}, arrival=arrival)])

    return build


MOMENT = "2023-11-16 18:17:03"
NAMED = {"time": "at", "tenant": "who", "unit": "s"}
TRACES = {
    "trace csv": _trace("csv", "tenant,query,arrival_ns\n", "a,0,0\n", 1_000_000),
    "trace csv sorted": _trace("csv", "tenant,query,arrival_ns\n", "a,0,0\n", 1_000_000, sort=True),
    "trace columns": _trace(
        "csv", "who,at\n", "a,5.0\n", 1_000_000, columns={"time": "at", "tenant": "who", "unit": "s"}
    ),
    "trace azure-llm": _trace(
        "azure-llm", "TIMESTAMP,ContextTokens,GeneratedTokens\n", "2023-11-16 18:17:03,3,3\n", 500_000
    ),
    "trace azure-functions": _trace(
        "azure-functions", "app,func,end_timestamp,duration\n", "a,a,9.5,1\n", 1_000_000
    ),
    "trace burstgpt": _trace(
        "burstgpt", "Timestamp,Model,Request tokens,Response tokens\n", "5,m,3,3\n", 1_000_000
    ),
    "trace mooncake": _trace(
        "mooncake", "", '{"timestamp": 5, "input_length": 3, "output_length": 3}\n', 500_000
    ),
    "trace of quotes": _trace("csv", "tenant,query,arrival_ns\n", '"\n",', 20_000_000),
}


def study_axes(folder: Path, share: float) -> list[str]:
    """A study of as many values as its file can have, stopped by its one scenario that is wrong."""
    scenario = {"npu": "memory-centric", "tenants": [tenant_of("a", {"costs": "nowhere.csv"})]}
    axes = {"tenants.a.deadline_ms": list(range(1, count_of(90_000, share)))}
    document = {"scenario": scenario, "axes": axes, "sample": {"kind": "random", "points": 3}}
    (folder / "study.yaml").write_text(yaml.dump(document, Dumper=DUMPER))
    return ["sweep", str(folder / "study.yaml"), "-o", str(folder / "study"), "--workers", "1"]


def measurements(folder: Path, share: float) -> list[str]:
    """As many measured networks as may be, each another."""
    lines = [f"zoo:bert-base,1,tokens={k + 1},{k + 1}" for k in range(count_of(10_000, share))]
    (folder / "measured.csv").write_text("model,batch,dims,latency_ms\n" + "\n".join(lines) + "\n")
    return ["npu", "score", "tpu-v6e", "--measured", str(folder / "measured.csv"), "--json"]


def measured_again(folder: Path, share: float) -> list[str]:
    """The same to be fitted."""
    words = measurements(folder, share)
    return ["npu", "calibrate", *words[2:]]


def measurements_wide(folder: Path, share: float) -> list[str]:
    """A file of measurements with long cells."""
    lines = [f"zoo:bert-base,1,tokens={k + 1},1,{'c' * 1400}" for k in range(count_of(10_000, share))]
    (folder / "measured.csv").write_text("model,batch,dims,latency_ms,layer\n" + "\n".join(lines) + "\n")
    return ["npu", "score", "tpu-v6e", "--measured", str(folder / "measured.csv"), "--json"]


def matmul(folder: Path, share: float) -> list[str]:
    """Products that were timed."""
    rows = "".join(
        f"{k % 1000 + 1},{k // 1000 + 1},5,7.5{' ' * 600}\n" for k in range(count_of(100_000, share))
    )
    (folder / "t.csv").write_text("m,n,k,time_us\n" + rows)
    return ["reproduce", "tpu-matmul", "--csv", str(folder / "t.csv"), "--json"]


def v6e(folder: Path, share: float) -> list[str]:
    """Layers that were timed."""
    rows = "".join(
        f"0,{k % 4096 + 1},{k // 4096 + 1},False,7500{' ' * 300}\n" for k in range(count_of(200_000, share))
    )
    (folder / "t.csv").write_text("prefill_chunk_size,kv_cache_size,batch_size,is_prefill,mean_ns\n" + rows)
    return ["reproduce", "tpu-v6e", "--csv", str(folder / "t.csv"), "--json"]


def requests(folder: Path, share: float) -> list[str]:
    """A file of what became of so many requests."""
    arrival = {"kind": "saturated", "queries": count_of(3_000_000, share)}
    words = scenario_of(folder, [tenant_of("a", {"costs": "one.csv"}, arrival=arrival)])
    return [*words, "--requests", str(folder / "requests.csv")]


FILES: dict[str, Build] = {
    **named(
        tenants,
        zoo_tenants,
        batch_sizes,
        scenario_values,
        yaml_flow,
        yaml_nested,
        npu_config,
        costs,
        costs_of_sizes,
        csv_of_commas,
        study_axes,
        measurements,
        measured_again,
        measurements_wide,
        matmul,
        v6e,
        requests,
    ),
    **TRACES,
}
