"""Who runs a cell, told to its kernel by the server that knows them, as a kernel asks nobody.

Apart from the lab, as Jupyter finds the classes by name and its packages take a second to import.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from typing import Any

from jupyter_server.auth.identity import PasswordIdentityProvider, User
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from opskit.claimed import PERSON
from opskit.widgets.person import Person

_METADATA = 2
"""Where it stands in a message: after its header and that of its parent."""
_renamed: dict[str, str] = {}


class NamingIdentityProvider(PasswordIdentityProvider):
    """Remembers the names that people give themselves, which their open connections do not."""

    def update_user_model(self, current_user: User, user_data: Any) -> User:
        """Change what is known of a person, and remember the name."""
        user = super().update_user_model(current_user, user_data)
        _renamed[user.username] = user.display_name or user.name or ""
        return user


class NamingConnection(ZMQChannelsWebsocketConnection):
    """Tells a kernel with each message who is at the browser that it came from."""

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        """Pass a message on, and with it who it is from."""
        person = person_of(self.websocket_handler.current_user)
        super().handle_incoming_message(with_person(incoming_msg, person))


def with_person(message: Any, person: str) -> Any:
    """Return a message with somebody in its metadata, whatever the browser says there.

    Parameters
    ----------
    message
        Bytes of the protocol that JupyterLab prefers, or a text of the one before.
    """
    if isinstance(message, bytes):
        channel, parts = deserialize_msg_from_ws_v1(message)
        parts[_METADATA] = json.dumps(json.loads(parts[_METADATA]) | {PERSON: person}).encode()
        return serialize_msg_to_ws_v1(parts, channel)
    said = json.loads(message)
    return json.dumps(said | {"metadata": {**said.get("metadata", {}), PERSON: person}})


def person_of(user: User) -> str:
    """Return how a journal names somebody; nothing for who has only a name that was made up."""
    name = _renamed.get(user.username) or user.display_name or user.name or ""
    is_made_up = not name or name.startswith("Anonymous ")
    return "" if is_made_up else str(Person(username=user.username, name=name))
