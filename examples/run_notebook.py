"""Runs a notebook from top to bottom and writes its outputs into it.

    python run_notebook.py walkthrough.ipynb

The project pins no Jupyter, which is some forty packages. Cells here are plain Python, so that one
process runs them as a kernel would: what a cell prints, and the value of its last expression with
its HTML and its picture.
"""

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any


def run_cell(source: str, space: dict[str, Any]) -> tuple[str, Any]:
    """What a cell prints, and the value of its last expression, None if it has none."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(ast.Module(body, []), "<cell>", "exec"), space)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), space)
    return printed.getvalue(), value


def as_outputs(printed: str, value: Any, number: int) -> list[dict[str, Any]]:
    """The outputs of a cell, as a notebook keeps them."""
    outputs: list[dict[str, Any]] = []
    if printed:
        lines = printed.splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    if value is not None:
        data: dict[str, Any] = {}
        if hasattr(value, "_repr_png_"):
            data["image/png"] = base64.b64encode(value._repr_png_()).decode()
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        text = "<picture>" if "image/png" in data else repr(value)
        data["text/plain"] = text.splitlines(keepends=True)
        result = {"data": data, "execution_count": number, "metadata": {}}
        outputs.append(result | {"output_type": "execute_result"})
    return outputs


def main(file: str) -> None:
    """Runs the code cells of a notebook in one process, and writes it again."""
    notebook = json.loads(Path(file).read_text(encoding="utf-8"))
    space: dict[str, Any] = {"__name__": "__main__"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, start=1):
        printed, value = run_cell("".join(cell["source"]), space)
        cell |= {"execution_count": number, "outputs": as_outputs(printed, value, number)}
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    Path(file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
