"""Settings: `base` for all, one module per way of running, `engine` for the list of modules."""
