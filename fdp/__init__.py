"""Forms: templates that people fill in, and what they submitted (XEP-0346). Start at `definition.py`."""
