"""Operators of ONNX Runtime's own domains: com.microsoft and the layouts it gives convolutional networks."""
