"""Published or logged figures that the reproductions compare with; each file names its source.

``scalesim_*.csv``: M, N, K and per-layer cycles that SCALE-Sim 3.0.0 reported for its own ResNet-50 topology
and for BERT-base at 384 tokens, on a 128 x 128 weight-stationary array.
"""
