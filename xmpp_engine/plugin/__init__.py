"""Layer 2. How a feature registers and how hooks become tables. Start at `module.py`."""
