"""Configuration as models, and how it becomes an EngineConfig. `services.py` holds the only writers."""
