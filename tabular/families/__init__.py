"""The classifiers: their classes, defaults and search spaces, and the pipeline around them."""
