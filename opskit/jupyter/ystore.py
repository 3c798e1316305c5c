"""What jupyter-collaboration remembers of a document: its latest minutes, and what is deleted goes.

As shipped, its store keeps every state a notebook ever had, an output that was shown for a second
and cleared included. Apart from the lab, as Jupyter finds the class by name and its packages take
a second to import.
"""

# jupyter-collaboration and pycrdt ship no types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUntypedBaseClass=false

from __future__ import annotations

from jupyter_server_ydoc.stores import SQLiteYStore


def _unchanged(data: bytes) -> bytes:
    return data


class BriefYStore(SQLiteYStore):
    """A store that keeps at most five minutes of history, and overwrites what it drops."""

    squash_history_older_than = 300
    # pycrdt-store 0.1 only keeps what it squashes when there is something to decompress it with.
    _compress = _decompress = staticmethod(_unchanged)

    async def _init_db(self) -> None:
        await super()._init_db()
        cursor = await self._db.cursor()
        await cursor.execute("PRAGMA secure_delete = ON")
