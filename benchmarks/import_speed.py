"""Time and memory of importing ONNX files: large embedded weights, many nodes, real graphs.

Run with ``python benchmarks/import_speed.py``; ``--read-only`` leaves propagation and lowering out. Every
case runs in a process of its own, so that its peak resident memory is its own.

Cases:
    bert-large-embedded: the exported BERT-large graph with 1.34 GB of raw weights inside the file.
    three-gigabytes: one weight of 3 GB inside the file.
    nodes-N: a chain of N convolutions, to show that time is linear in N.
    every graph of tests/data/onnx: as exported, weights absent.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from math import prod
from pathlib import Path

import onnx
from onnx import TensorProto, helper

DATA = Path(__file__).parents[1] / "tests" / "data" / "onnx"
BINDINGS = {"bert_base.legacy.dyn": {"batch": 1, "seq": 384}}


def write_embedded(model: onnx.ModelProto, target: Path) -> None:
    """Write ``model`` with raw data of the declared sizes for every weight that lacks values.

    They are written out, not left as holes: how much of a file is mapped depends on how it lies in memory.
    """
    block = random.Random(0).randbytes(1 << 22)
    rest = onnx.ModelProto()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    graph.ClearField("initializer")
    chunks = []
    for tensor in model.graph.initializer:
        payload_bytes = 0
        if tensor.data_location == TensorProto.EXTERNAL:
            del tensor.external_data[:]
            tensor.ClearField("data_location")
            payload_bytes = prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        head = tensor.SerializeToString() + (b"\x4a" + varint(payload_bytes) if payload_bytes else b"")
        chunks.append((b"\x2a" + varint(len(head) + payload_bytes) + head, payload_bytes))
    others = graph.SerializeToString()
    graph_bytes = len(others) + sum(len(head) + payload_bytes for head, payload_bytes in chunks)
    with target.open("wb") as stream:
        stream.write(rest.SerializeToString() + b"\x3a" + varint(graph_bytes) + others)
        for head, payload_bytes in chunks:
            stream.write(head)
            for left in range(payload_bytes, 0, -len(block)):
                stream.write(block[:left])


def write_chain(nodes: int, target: Path) -> None:
    """Write a chain of ``nodes`` small convolutions that share one weight."""
    chain = [
        helper.make_node(
            "Conv",
            [f"x{index}", "w", "b"],
            [f"x{index + 1}"],
            name=f"/body/layer.{index}/Conv",
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            strides=[1, 1],
            dilations=[1, 1],
            group=1,
        )
        for index in range(nodes)
    ]
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [8, 8, 3, 3], bytes(4 * 8 * 8 * 9), raw=True),
        helper.make_tensor("b", TensorProto.FLOAT, [8], bytes(32), raw=True),
    ]
    extents = [1, 8, 16, 16]
    graph = helper.make_graph(
        chain,
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, extents)],
        [helper.make_tensor_value_info(f"x{nodes}", TensorProto.FLOAT, extents)],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), target)


def write_three_gigabytes(target: Path) -> None:
    """Write a product with one embedded weight of 3 GB."""
    columns, rows = 1024, 732_422
    weight = TensorProto(
        name="w",
        dims=[rows, columns],
        data_type=TensorProto.FLOAT,
        data_location=TensorProto.EXTERNAL,
    )
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
        [weight],
    )
    write_embedded(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), target)


def varint(value: int) -> bytes:
    groups = []
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | (0x80 if value else 0))
        if not value:
            return bytes(groups)


def peak_kilobytes() -> int:
    """Peak resident memory of this process (on Linux not that of the one it was started from)."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(path: Path, read_only: bool) -> None:
    """Import one file and print what it took as JSON (runs in a process of its own)."""
    from layerweaver.frontend.reader.file import read_model  # noqa: PLC0415

    if not read_only:
        from layerweaver.frontend.importer import import_model  # noqa: PLC0415
        from layerweaver.frontend.options import ImportOptions  # noqa: PLC0415
    baseline = peak_kilobytes()
    start = time.perf_counter()
    model = read_model(path)
    read_s = time.perf_counter() - start
    if not read_only:
        import_model(model, ImportOptions(dims=BINDINGS.get(path.stem, {})))
    total_s = time.perf_counter() - start
    peak = peak_kilobytes()
    nodes = len(model.graph.nodes)
    print(
        json.dumps(
            {"nodes": nodes, "read_s": read_s, "import_s": total_s, "start_kb": baseline, "peak_kb": peak}
        )
    )


def main() -> None:
    """Write the cases to a temporary folder and measure them one by one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--read-only", action="store_true", help="only read, do not propagate and lower")
    parser.add_argument("--case", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        measure(arguments.case, arguments.read_only)
        return
    with tempfile.TemporaryDirectory() as folder:
        cases = sorted(DATA.glob("*.onnx"))
        for nodes in (3_000, 12_500, 25_000, 50_000):
            cases.append(Path(folder) / f"nodes-{nodes}.onnx")
            write_chain(nodes, cases[-1])
        cases.append(Path(folder) / "three-gigabytes.onnx")
        write_three_gigabytes(cases[-1])
        cases.append(Path(folder) / "bert-large-embedded.onnx")
        exported = onnx.load(DATA / "bert_large.dynamo.onnx", load_external_data=False)
        write_embedded(exported, cases[-1])
        print(
            f"{'file':26}{'size MB':>10}{'nodes':>8}{'read s':>9}"
            f"{'import s':>10}{'start MB':>10}{'peak MB':>9}"
        )
        for path in cases:
            command = [sys.executable, __file__, "--case", str(path)]
            command += ["--read-only"] * arguments.read_only
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                print(f"{path.stem:26}failed: {done.stderr.strip().splitlines()[-1]}")
                continue
            result = json.loads(done.stdout)
            print(
                f"{path.stem:26}{path.stat().st_size / 1e6:10.1f}{result['nodes']:8}{result['read_s']:9.3f}"
                f"{result['import_s']:10.3f}{result['start_kb'] / 1e3:10.1f}{result['peak_kb'] / 1e3:9.1f}"
            )


if __name__ == "__main__":
    main()
