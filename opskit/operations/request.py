"""What a plan is asked for: an app and some of its secrets by name, or rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

from pandas import DataFrame

from opskit.arguments import check_text, names_in
from opskit.errors import InputError
from opskit.operations.options import Options
from opskit.operations.select import Lookup, Names, Selection, named_in, orphans_in
from opskit.views.views import Views

SAY_APP = 'Name an app and its secrets, such as "wiki.coop.example", ["api_token"].'


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An app with the names of some of its secrets, or else a table; and how it is to be done."""

    app: str = ""
    secrets: tuple[str, ...] | None = None
    table: Selection = ()
    options: Options | None = None

    @classmethod
    def of(
        cls,
        selection: Selection | str,
        secrets: Names | Options | None,
        options: Options | None,
        *,
        name_them: bool = False,
    ) -> Request:
        """Tell an app from a table; `name_them` refuses an app of which no secret is named.

        Raises
        ------
        InputError
            It is neither, or the secrets are no names.
        """
        if isinstance(secrets, Options):
            if options is not None:
                raise InputError("the options are given twice.", remedy="Give them once.")
            secrets, options = None, secrets
        if not isinstance(selection, str):
            if secrets is not None:
                raise InputError(
                    "secrets are named beside a selection that holds them already.",
                    remedy=SAY_APP,
                )
            # A generator would be empty when it is looked at again.
            table = selection if isinstance(selection, DataFrame | Views) else named_in(selection)
            return cls(table=table, options=options)
        check_text("app", selection, SAY_APP)
        if secrets is None and name_them:
            raise InputError(f"no secret of {selection} is named.", remedy=SAY_APP)
        if isinstance(secrets, str):
            check_text("secret", secrets, "Name one that the app declares.")
            secrets = [secrets]
        if secrets is not None:
            secrets = names_in("secrets", secrets)
        return cls(app=selection, secrets=secrets, options=options)

    def rows(self, lookup: Lookup) -> Selection:
        """Return the selection, looking the app up."""
        return lookup.named(self.app, self.secrets) if self.app else self.table

    def servers(self, lookup: Lookup) -> frozenset[str]:
        """Return the servers that have what is selected."""
        return frozenset(server for server, *_ in named_in(self.rows(lookup)))

    def has_orphans(self) -> bool:
        """Tell whether the table holds rows of no app."""
        return bool(orphans_in(self.table)[0])
