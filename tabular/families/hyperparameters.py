"""Hyperparameters as a user writes them: `-P C=0.1`."""

import ast
from typing import Any

from sklearn.utils._param_validation import InvalidParameterError

from tabular.errors import BadInput, choices
from tabular.families.classifiers import hyperparameters, make_classifier


def read_hyperparameters(classifier: str, written: dict[str, str]) -> dict[str, Any]:
    """Reads and checks hyperparameters.

    Args:
        classifier: a key of `CLASSIFIERS`.
        written: text by scikit-learn's name; numbers, lists, True, None as Python writes them, and
            anything else as a word.

    Raises:
        BadInput: the classifier has no such hyperparameter, or scikit-learn refuses the value.
    """
    possible = hyperparameters(classifier)
    for name in written:
        if name not in possible:
            raise BadInput(
                f"{classifier} has no hyperparameter {name!r}; "
                f"{choices(name, [*possible, 'data', 'target', 'model_name', 'seed'], most=30)}"
            )
    values = {name: literal(text) for name, text in written.items()}
    if isinstance(values.get("class_weight"), dict):
        raise BadInput("class_weight is 'balanced' or None here; found weights of single classes")
    try:
        make_classifier(classifier, values, seed=0)
    except InvalidParameterError as error:
        raise BadInput(str(error)) from None
    return values


def literal(text: str) -> Any:
    """Reads a value as Python writes it; what is none is a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
