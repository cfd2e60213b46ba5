"""Reports: one self-contained page, figures, sparklines and model pictures from result documents."""
