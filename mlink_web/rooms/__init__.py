"""Rooms of multi-user chat: their store and the console pages."""
