"""Plain functions and frozen dataclasses: data, search, metrics, gate, registry, report."""
