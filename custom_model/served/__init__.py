"""Copied whole into every model artifact and loaded from there."""
