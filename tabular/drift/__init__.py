"""Whether a table is still like the one that a model was trained on."""
