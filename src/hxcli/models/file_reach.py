"""Whether the text of a model file says all that the model depends on: it reads no file, draws no number, asks nobody.

Only then may what tracing makes of the model be kept for another run (`hxcli.engine.program`). In doubt it is not.
"""

from __future__ import annotations

import ast

# Packages whose functions give the same for the same arguments, but for the names below.
_STEADY = {
    *("__future__", "collections", "dataclasses", "enum", "functools", "itertools", "jax", "math", "numpy", "typing"),
}
_OF_HXCLI = ("hxcli.model", "hxcli.models")
# What reads, draws, runs text, or calls back into Python while a compiled program runs.
_REACHING = {
    *("open", "input", "exec", "eval", "compile", "globals", "locals", "vars", "getattr", "setattr", "delattr"),
    *("breakpoint", "id", "hash", "print", "random", "load", "loadtxt", "genfromtxt", "fromfile", "fromregex"),
    *("memmap", "DataSource", "lib", "ctypeslib", "f2py", "testing", "devices", "experimental", "extend", "debug"),
    *("pure_callback", "io_callback", "config", "monitoring", "profiler", "distributed", "tree_util", "ffi"),
}


def stands_alone(tree: ast.Module) -> bool:
    """Whether a file's model is a function of its text alone.

    Args:
        tree: The file, parsed.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and not all(_is_steady(each.name) for each in node.names):
            return False
        if isinstance(node, ast.ImportFrom):
            if node.level or not _is_steady(node.module or ""):
                return False
            if any(each.name in _REACHING or each.name == "*" for each in node.names):
                return False
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in _REACHING or name.startswith("__"):
            return False
    return True


def _is_steady(module: str) -> bool:
    parts = module.split(".")
    if module in _OF_HXCLI:
        return True
    return parts[0] in _STEADY and not _REACHING & set(parts)
