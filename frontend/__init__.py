"""Import of ONNX models: reading, binding of shapes, lowering to layers, fusion."""
