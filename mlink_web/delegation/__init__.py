"""Administrators of single domains: who they are and what they may see."""
