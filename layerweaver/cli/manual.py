"""What follows the options in every command's ``--help``: examples, units, exit codes."""

from __future__ import annotations

import textwrap

__all__ = ["EXIT_CODES", "epilog"]

EXIT_CODES = (
    "Exit codes: 0 done; 2 the input is wrong (one line on stderr says what, where, and what would be "
    "accepted); 130 after Ctrl-C; 1 where a command says so, or the tool itself is at fault."
)
_UNITS = (
    "Units: keys and headings carry them; rates are per second, ratios are fractions of 1 in JSON, "
    "cycles are the NPU's, MB is 10^6 bytes."
)
_WIDTH = 76
_EXAMPLES = {
    "inspect": (
        "inspect zoo:resnet50",
        "inspect bert.onnx --dim tokens=128 --batch 4 --npu tpu-v3",
        "inspect model.onnx --shape input=1x3x224x224 --npu my_npu.yaml --plot roofline.svg",
        "inspect zoo:bert-base --npu memory-centric --graph layers.html --csv layers.csv",
    ),
    "compile": (
        "compile resnet50.onnx bert.onnx --npu memory-centric --dim bert:tokens=16 -o mix.lwp",
        "compile vision=zoo:resnet50 --npu my_npu.yaml --batch 1,8,16 -o vision.lwp",
        "compile zoo:resnext50 --npu memory-centric --batch 8 --longest-us 100 -o cut.lwp",
        "compile chat=zoo:llama-3.1-8b vit=zoo:vit-b16 --llm chat --npu tpu-v6e -o chat.lwp",
    ),
    "show": ("show mix.lwp", "-v show mix.lwp", "show mix.lwp --csv > layers.csv"),
    "simulate": (
        "simulate",
        "simulate --example llm",
        "simulate service.yaml --policy layerweaver+:margin_us=50 -o run.json",
        "simulate service.yaml --trace trace.json.gz --trace-window 10ms:20ms",
        "simulate service.yaml --seeds 10 --json",
    ),
    "compare": (
        "compare service.yaml --policies fcfs,edf,layerweaver+ -o comparison.json",
        "compare service.yaml --policies fcfs,./mine.py --seed 7",
    ),
    "peak": (
        "peak service.yaml --policies fcfs,layerweaver+ -o peak.json",
        "peak service.yaml --tenant vision --seeds 5 --workers 4",
    ),
    "sweep": (
        "sweep study.yaml -o study",
        "sweep study.yaml -o study --workers 8 --strict --json",
        "sweep study.yaml -o study --cluster tcp://head:8786",
    ),
    "export": (
        "export service.yaml -o firmware",
        "export service.yaml --to c --policy edf --measure --json -o firmware",
    ),
    "npu score": ("npu score my_npu.yaml --measured chip.csv --plot score.svg",),
    "npu calibrate": (
        "npu calibrate my_npu.yaml --measured chip.csv -o fitted.yaml --plot fitted.svg",
        "npu calibrate my_npu.yaml --suggest 2 --models zoo:resnet18 zoo:resnet50",
    ),
    "npu new": ("npu new -o my_npu.yaml", "npu new --schema -o npu.schema.json"),
    "npu check": ("npu check my_npu.yaml",),
    "npu show": ("npu show tpu-v3 > my_npu.yaml",),
    "models export": ("models export resnet50 -o resnet50.onnx",),
    "reproduce hpca21": ("reproduce hpca21 --plot fig14.svg",),
    "cache": ("cache", "cache --clear"),
    "traffic": ("traffic service.yaml > arrivals.csv", "traffic service.yaml --seed 7 | head"),
    "certify": ("certify service.yaml", "certify service.yaml --policy fcfs --json"),
    "policies": ("policies", "policies --json"),
    "rerun": ("rerun run.json", "rerun comparison.json -o again.json"),
    "report": (
        "report comparison.json peak.json -o report.html",
        "report study -o study.html",
        'report monday.json tuesday.json -o week.html --title "The week"',
    ),
}
_NOTES = {
    "sweep": "Whatever stops it, running it again goes on. Points that fail keep their reason in the table.",
    "certify": "It exits with 0 when all verdicts and percentiles agree, whatever they are, else with 1.",
    "rerun": "It exits with 0 when all but the key run is the same, else with 1; 2 if a file changed.",
    "simulate": "Ctrl-C prints what was reached by then.",
    "peak": (
        "With Poisson arrivals this is what MLPerf's Server scenario reports: the highest rate whose "
        "percentile keeps the limit. Rates are totals over all tenants; the bracket goes from the last pass "
        "to the first failure. At a peak the share of late requests is just below the limit, where early "
        "stopping of simulate asks for many more queries than a trial has: run at some percent less."
    ),
}


def _folded(example: str) -> str:
    """An example in lines that fit any terminal, continued as a shell wants them."""
    return textwrap.fill(
        example,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\n", " \\\n")


def epilog(command: str) -> str:
    """The text below a command's options."""
    examples = "\n".join(_folded(f"layerweaver {line}") for line in _EXAMPLES.get(command, ()))
    parts = [f"\b\nExamples:\n{examples}"] if examples else []
    if command in _NOTES:
        parts.append(_NOTES[command])
    return "\n\n".join([*parts, _UNITS, EXIT_CODES])
