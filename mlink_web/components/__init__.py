"""External components: their pages, commands and models."""
