"""Stanzas for other servers that outlive a restart: model and store."""
