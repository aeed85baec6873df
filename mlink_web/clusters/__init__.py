"""Nodes of the cluster: their numbers, pages and commands."""
