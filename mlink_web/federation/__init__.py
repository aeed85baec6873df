"""Peers and streams to other servers: their pages, commands and models."""
