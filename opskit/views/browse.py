"""``view.opskit.browse()``: a searchable, sortable table in a notebook, also offline."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pandas as pd

from opskit.views.frame import View
from opskit.views.render import cell_text

_MAX_BYTES = 16 * 1024 * 1024


@pd.api.extensions.register_dataframe_accessor("opskit")
class Browser:
    """What opskit adds to every DataFrame.

    Parameters
    ----------
    frame
        The DataFrame the accessor was asked of.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def browse(self) -> Any:
        """Show the frame searchable and sortable, with nothing fetched from outside.

        Each call puts about 0.7 MB into the notebook's output, so ask for it where searching
        is worth that.
        """
        itables = import_module("itables")
        shown: pd.DataFrame = self._frame
        caption = ""
        if isinstance(shown, View):
            caption = shown.caption
            shown = pd.DataFrame(shown.flat()[shown.shown_columns()])
        html = itables.to_html_datatable(
            shown,
            caption=cell_text(caption),
            connected=False,
            allow_html=False,
            maxBytes=_MAX_BYTES,
            layout={"topStart": "search", "topEnd": "pageLength"},
            lengthMenu=[25, 100, 500],
            showIndex=False,
            columnDefs=[{"className": "dt-left", "targets": "_all"}],
        )
        # The library goes along, so that the output works offline and in a copied notebook.
        script = import_module("itables.javascript").generate_init_offline_itables_html(
            import_module("itables.options").dt_bundle
        )
        return import_module("IPython.display").HTML(script + html)
