"""Trials: folds, cross-validation, racing, the loop, and where they run."""
