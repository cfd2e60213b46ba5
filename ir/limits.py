"""The one set of limits: how large what a file or a caller states may be.

Everything is bounded once, where it enters, so that no product or sum of accepted values leaves 64 bits
later: times by :data:`MAX_TIME_NS`, their number by :data:`MAX_QUERIES`, what a single stream of arrivals may
reach by :data:`MAX_ARRIVAL_NS`, what all requests keep busy by :data:`MAX_WORK_NS`. So no simulation goes on
beyond the sum of the last two, and at 9 GHz that and every deadline lie below the engine's mark for "never".
"""

from __future__ import annotations

__all__ = [
    "MAX_ARRIVAL_NS",
    "MAX_BATCH",
    "MAX_CLOCK_HZ",
    "MAX_COUNT",
    "MAX_CURVE",
    "MAX_ELEMENTS",
    "MAX_END_SECONDS",
    "MAX_LAYER_ELEMENTS",
    "MAX_MACS",
    "MAX_PHASES",
    "MAX_QUANTITY",
    "MAX_QUERIES",
    "MAX_RANK",
    "MAX_RATE_QPS",
    "MAX_ROWS",
    "MAX_SECONDS",
    "MAX_SEEDS",
    "MAX_SHAPE_ELEMENTS",
    "MAX_TENANTS",
    "MAX_TIME_NS",
    "MAX_TOKEN_REQUESTS",
    "MAX_VARIANTS",
    "MAX_WORKERS",
    "MAX_WORK_NS",
    "MIN_RATE_QPS",
]

MAX_SECONDS = 10**8
"""Longest time that a scenario may state, in seconds: three years."""

MAX_TIME_NS = MAX_SECONDS * 10**9
"""The same in ns."""

MAX_ARRIVAL_NS = 2 * MAX_TIME_NS
"""No request arrives later; the first past the longest duration still can (LoadGen issues it)."""

MAX_WORK_NS = MAX_TIME_NS
"""Time for which all requests of a simulation may keep one NPU busy, one after the other."""

MAX_END_SECONDS = (MAX_ARRIVAL_NS + MAX_WORK_NS) // 10**9
"""No simulation goes on beyond this second."""

MAX_CLOCK_HZ = 9_000_000_000
"""Cycles per second of an NPU; a clock beyond is a slip of the pen (MHz under the key for GHz)."""

MAX_QUERIES = 10**9
"""Requests of one tenant."""

MAX_COUNT = 10**9
"""Plain whole numbers of a scenario."""

MAX_PHASES = 10**9
"""Bursts, or changes of state, of one tenant's arrivals."""

MAX_RATE_QPS = 1e9
"""Queries per second."""

MIN_RATE_QPS = 1e-9
"""The least rate that is not 0: below one query in ten times :data:`MAX_SECONDS` nothing comes."""

MAX_QUANTITY = 2**45
"""Cycles or bytes of a layer, and of all layers of a model together."""

MAX_ELEMENTS = 2**43
"""Elements of a tensor that a layer reads or writes."""

MAX_SHAPE_ELEMENTS = 2**50
"""Elements of a shape that is only passed on while shapes are bound."""

MAX_RANK = 64
"""Axes of a tensor."""

MAX_LAYER_ELEMENTS = 2**48
"""Elements that one layer works on, all of its tensors and repetitions together."""

MAX_MACS = 2**55
"""Multiply-accumulates of one layer."""

MAX_BATCH = 4096
"""Requests in one batch, and samples in one query."""

MAX_TENANTS = 1000
"""Tenants of one scenario, and so of one run in a result."""

MAX_VARIANTS = 8192
"""Models times batch sizes of one compilation, or of all tenants and NPUs of a scenario."""

MAX_ROWS = 1_000_000
"""Rows of all of them together: some 700 bytes each while they are costed."""

MAX_TOKEN_REQUESTS = 5_000_000
"""Requests of one language model in one run, which are all known before it begins."""

MAX_SEEDS = 1000
"""Repetitions of a run or a search."""

MAX_CURVE = 1000
"""Loads that a search runs besides its own."""

MAX_WORKERS = 256
"""Processes of one command."""
