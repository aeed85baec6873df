"""Tests of components, and their stage."""
