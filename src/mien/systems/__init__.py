"""One paper, two files: ``NAME.py`` puts parts together, ``NAME.toml`` has card and presets."""
