"""The pictures' colours: each at least 3:1 on white and on black, white text on it at least 4.5:1.

No picture tells anything by colour alone: numbers, shapes or positions say the same.
"""

STATES = {
    "current": "#1a7f4b",
    "pending": "#9a6700",
    "missing": "#cf222e",
    "stale": "#8250df",
    "orphan": "#bf3989",
    "superseded": "#6e7781",
    "undeployed": "#2f6fb5",
    "unknown": "#0e7c86",
}
"""States of a secret's version; ``unknown`` where the server could not be read."""

AGES = {
    "under 30 days": "#1a7f4b",
    "30 to 90": "#2f6fb5",
    "90 to 180": "#8250df",
    "180 to 365": "#9a6700",
    "over 365": "#cf222e",
}
"""Ages of a secret, the youngest first."""

HEALTH = {
    "all tasks run": ("#1a7f4b", "circle"),
    "some tasks run": ("#9a6700", "triangle-up"),
    "no task runs": ("#cf222e", "cross"),
    "scaled to none": ("#6e7781", "square"),
    "not read": ("#66707b", "diamond"),
}
"""How a service or stack is: colour and shape."""

SEVERITIES = {
    "critical": ("#cf222e", "cross"),
    "high": ("#bf3989", "triangle-up"),
    "medium": ("#9a6700", "square"),
    "low": ("#2f6fb5", "circle"),
    "info": ("#6e7781", "diamond"),
}
"""How bad a finding is: colour and shape."""

OUTCOMES = {
    "done": "#1a7f4b",
    "failed": "#cf222e",
    "undone": "#9a6700",
    "skipped": "#6e7781",
    "running": "#2f6fb5",
}
"""How a step of a run ended."""
