"""One tenant's replay through the official LoadGen; runs in a process of its own.

``python -m layerweaver.backend_sim.study.certify.replay REQUEST.json``, with the virtual clock preloaded,
reads a request and writes one JSON document: LoadGen's summary and whether its schedule was ours.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

__all__ = ["Answer", "Request", "Settings", "TokenSettings", "main", "replay"]

_START_NS = 1_000_000_000_000_000_000
_SCENARIOS = {
    "poisson": "Server",
    "offline": "Offline",
    "single_stream": "SingleStream",
    "multi_stream": "MultiStream",
}


class TokenSettings(TypedDict, total=False):
    """Limits of a language model in ns, and of equal issue the size of its data set and LoadGen's seeds."""

    ttft_ns: int
    tpot_ns: int
    data_set: int
    qsl_seed: int
    sample_seed: int


class Settings(TokenSettings):
    """What LoadGen is told of a tenant; what its scenario does not know is left out."""

    kind: str
    seed: int
    share: float
    min_duration_ms: int
    min_queries: int
    max_queries: NotRequired[int]
    qps: NotRequired[float]
    target_ns: NotRequired[int]
    expected_ns: NotRequired[int]
    samples_per_query: NotRequired[int]


class Request(TypedDict):
    """One replay.

    Attributes:
        settings: What LoadGen is told.
        files: Paths of ``.npy`` files, int64, one entry per query (per sample where all come at once):
            ``latencies`` and ``scheduled`` in ns; of a language model ``first`` (times to the first token in
            ns) and ``tokens`` (their numbers), and with equal issue ``order`` (the indices expected).
        clock: Path of the virtual clock.
        folder: Where LoadGen's logs go.
        answer: Path of the answer.
    """

    settings: Settings
    files: dict[str, str]
    clock: str
    folder: str
    answer: str


class Answer(TypedDict):
    """LoadGen's text, how many queries or samples it issued, and whether its schedule was ours."""

    summary: str
    issued: int
    schedule_agrees: bool


def _settings(loadgen: Any, request: Settings, *, with_tokens: bool, in_order: bool) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, _SCENARIOS[request["kind"]])
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = request["min_duration_ms"]
    settings.min_query_count = request["min_queries"]
    settings.max_duration_ms = 0
    settings.schedule_rng_seed = request["seed"]
    if with_tokens:
        settings.use_token_latencies = True
        settings.ttft_latency = request["ttft_ns"]
        settings.tpot_latency = request["tpot_ns"]
    if in_order:
        settings.sample_concatenate_permutation = True
        settings.qsl_rng_seed = request["qsl_seed"]
        settings.sample_index_rng_seed = request["sample_seed"]
    if request["kind"] == "poisson":
        settings.server_target_qps = request["qps"]
        settings.server_target_latency_ns = request["target_ns"]
        settings.server_target_latency_percentile = request["share"]
    elif request["kind"] == "offline":
        # LoadGen issues ceil(1.1 x rate x duration) samples, at least min_query_count of them.
        settings.offline_expected_qps = request["qps"]
        settings.max_query_count = 1
    elif request["kind"] == "single_stream":
        settings.single_stream_expected_latency_ns = request["expected_ns"]
        settings.single_stream_target_latency_percentile = request["share"]
        settings.max_query_count = request["max_queries"]
    else:
        settings.multi_stream_expected_latency_ns = request["expected_ns"]
        settings.multi_stream_target_latency_percentile = request["share"]
        settings.multi_stream_samples_per_query = request["samples_per_query"]
        settings.max_query_count = request["max_queries"]
    return settings


def replay(request: Request) -> Answer:
    """Run LoadGen in virtual time over recorded latencies."""
    asked, files = request["settings"], request["files"]
    clock = ctypes.CDLL(request["clock"], mode=ctypes.RTLD_GLOBAL)
    for name in ("layerweaver_clock_start", "layerweaver_clock_set"):
        getattr(clock, name).argtypes = [ctypes.c_int64]
    clock.layerweaver_clock_get.restype = ctypes.c_int64
    import mlperf_loadgen as loadgen  # noqa: PLC0415 - after the clock

    latency_ns, scheduled_ns, first_ns, tokens, expected = (
        np.load(files[key], allow_pickle=False).tolist() if key in files else []
        for key in ("latencies", "scheduled", "first", "tokens", "order")
    )
    by_clock = asked["kind"] == "poisson"
    state = {"next": 0, "first": 0, "differs": 0}
    now, move, complete = (
        clock.layerweaver_clock_get,
        clock.layerweaver_clock_set,
        loadgen.QuerySamplesComplete,
    )
    response = loadgen.QuerySampleResponse

    def emit_first(sample: Any, at: int) -> None:
        move(at)
        loadgen.FirstTokenComplete([response(sample.id, 0, 0)])

    def emit_last(sample: Any, at: int, count: int) -> None:
        move(at)
        complete([response(sample.id, 0, 0, count)])

    def issue_together(samples: list[Any], issued: int) -> None:
        """All tokens of all samples that LoadGen is told of, in the order of time."""
        places = range(min(len(samples), len(latency_ns)))
        events = [(first_ns[place], 0, place) for place in places] if tokens else []
        events += [(latency_ns[place], 1, place) for place in places]
        for time_ns, last, place in sorted(events):
            if not last:
                emit_first(samples[place], issued + time_ns)
            else:
                emit_last(samples[place], issued + time_ns, tokens[place] if tokens else 0)

    def issue(samples: list[Any]) -> None:
        issued = now()
        number = state["next"]
        if number == 0:
            state["first"] = issued
        if asked["kind"] == "offline":
            issue_together(samples, issued)
            state["next"] += len(samples)
            return
        state["next"] += 1
        if number >= len(latency_ns):
            state["differs"] += 1
            complete([response(sample.id, 0, 0) for sample in samples])
            return
        state["differs"] += issued - state["first"] != scheduled_ns[number]
        if tokens:
            (sample,) = samples
            state["differs"] += bool(expected) and sample.index != expected[number]
            emit_first(sample, issued + first_ns[number])
            emit_last(sample, issued + latency_ns[number], tokens[number])
        else:
            move(issued + latency_ns[number])
            complete([response(sample.id, 0, 0) for sample in samples])
        if by_clock:
            move(issued)

    log = loadgen.LogSettings()
    log.log_output.outdir = request["folder"]
    log.log_output.copy_summary_to_stdout = False
    log.enable_trace = False
    system = loadgen.ConstructSUT(issue, lambda: None)
    size = asked.get("data_set", 1024)
    library = loadgen.ConstructQSL(size, size, lambda _: None, lambda _: None)
    settings = _settings(loadgen, asked, with_tokens="tokens" in files, in_order="order" in files)
    clock.layerweaver_clock_start(_START_NS)
    try:
        loadgen.StartTestWithLogSettings(system, library, settings, log)
    finally:
        clock.layerweaver_clock_stop()
    summary = (Path(request["folder"]) / "mlperf_log_summary.txt").read_text("utf-8", errors="replace")
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(system)
    return {
        "summary": summary,
        "issued": state["next"],
        "schedule_agrees": state["differs"] == 0 and state["next"] == len(latency_ns),
    }


def main(path: str) -> None:
    """Read a request, replay, and write the answer as JSON."""
    request: Request = json.loads(Path(path).read_text("utf-8"))
    answer = replay(request)
    Path(request["answer"]).write_text(json.dumps(answer), "utf-8")
    sys.stdout.flush()
    # LoadGen's threads may outlive the test; nothing is left to do.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
