"""NPU configs: fields, sections, reading, and the shipped ones."""
