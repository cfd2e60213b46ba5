"""Layerweaver: ONNX models in, schedule profiles and multi-tenant NPU simulations out."""
