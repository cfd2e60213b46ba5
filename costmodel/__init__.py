"""NPU configs and the cost model: layer graph x NPU -> cycles and bytes."""
