"""Reading ONNX files without their weights."""
