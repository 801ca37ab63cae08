"""The documents, and the two modules that make parts of them: `reference` and `pictures`."""
