"""Leaving out the body of a step that is finished: what Python's ``with`` cannot do by itself.

In IPython each ``with rb.step("…"):`` of a later cell is read as if its body began with
``if the step is due:``. That is done on the syntax tree, with IPython's own hook for it. Where
there is no IPython, a finished step raises instead of doing its work twice.
"""

from __future__ import annotations

import ast
from typing import Protocol, TypeVar

from opskit.progress import shell

_T = TypeVar("_T")
_GUARD = "__import__('opskit.runbook.again').runbook.again.guard"
"""How the rewritten cell finds `guard`, whatever names it uses itself."""


class Guarded(Protocol):
    """What is asked of a step."""

    guarded: bool
    due: bool


def guard(thing: _T) -> _T:
    """Tell a step that its body is looked after; whatever else it is stays untouched."""
    if hasattr(thing, "guarded"):
        setattr(thing, "guarded", True)  # noqa: B010 (of a type that is not known here)
    return thing


class Guarding(ast.NodeTransformer):
    """Puts a condition before the body of each ``with ….step(…):``."""

    def __init__(self) -> None:
        self._count = 0

    def visit_With(self, node: ast.With) -> ast.With:
        """Guard one ``with``, and those inside it."""
        self.generic_visit(node)
        for item in node.items:
            called = item.context_expr
            if not (
                isinstance(called, ast.Call)
                and isinstance(called.func, ast.Attribute)
                and called.func.attr == "step"
            ):
                continue
            self._count += 1
            name = f"_opskit_step_{self._count}"
            made = ast.parse(f"({name} := {_GUARD}(0))")
            expression = made.body[0]
            assert isinstance(expression, ast.Expr)
            walrus = expression.value
            assert isinstance(walrus, ast.NamedExpr)
            assert isinstance(walrus.value, ast.Call)
            walrus.value.args = [called]
            item.context_expr = walrus
            condition = ast.parse(f"getattr({name}, 'due', True)", mode="eval").body
            node.body = [ast.If(test=condition, body=node.body, orelse=[])]
            for new in (item.context_expr, node.body[0]):
                ast.copy_location(new, called)
            ast.fix_missing_locations(node)
        return node


def current_cell() -> int:
    """Give the number of the cell that is being run; 0 where there are none."""
    here = shell()
    return 0 if here is None else int(here.execution_count)


def guard_cells() -> None:
    """Have IPython guard the steps of the cells to come; elsewhere do nothing."""
    here = shell()
    if here is None:
        return
    if not any(isinstance(one, Guarding) for one in here.ast_transformers):
        here.ast_transformers.append(Guarding())
