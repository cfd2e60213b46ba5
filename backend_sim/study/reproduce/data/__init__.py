"""Published or logged figures that the reproductions compare with; each file names its source.

``scalesim_*.csv``: M, N, K and per-layer cycles that SCALE-Sim 3.0.0 reported for its own ResNet-50 topology
and for BERT-base at 384 tokens, on a 128 x 128 weight-stationary array.

``onnxim_*.csv``: finish times and their differences that ONNXim (commit a1e8629) logged for ResNet-18 at
224 x 224 and one BERT-base layer at 128 tokens on its TPU v4 like machine: four 128 x 128 weight-stationary
cores at 1 GHz, 32 MiB scratchpad and 4 MiB accumulators each, HBM2. A layer's stores can spill into the next
row.
"""
