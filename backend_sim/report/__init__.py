"""Reports: one self-contained page, its charts, and pictures of models; plotly and matplotlib load on use."""
