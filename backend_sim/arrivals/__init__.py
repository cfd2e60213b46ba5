"""When requests arrive: one file per family of sources, all streamed in chunks and seeded explicitly."""
