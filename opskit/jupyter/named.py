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
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from opskit.journal.claimed import PERSON
from opskit.widgets.person import Person

_V1 = "v1.kernel.websocket.jupyter.org"
"""The protocol that JupyterLab prefers; who asks for none speaks the one before."""
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
        v1 = self.subprotocol == _V1
        super().handle_incoming_message(with_person(incoming_msg, person, v1=v1))


def with_person(message: Any, person: str, *, v1: bool) -> Any:
    """Return a message with somebody in its metadata, whatever the browser says there.

    Parameters
    ----------
    message
        As it came over the connection.
    v1
        Whether that speaks the protocol that JupyterLab prefers. In the one before a message is a
        text, or bytes in which buffers follow it; nothing but the connection tells them apart.
    """
    if v1:
        channel, parts = deserialize_msg_from_ws_v1(message)
        parts[_METADATA] = json.dumps(json.loads(parts[_METADATA]) | {PERSON: person}).encode()
        return serialize_msg_to_ws_v1(parts, channel)
    is_text = isinstance(message, str)
    said = json.loads(message) if is_text else deserialize_binary_message(message)
    said["metadata"] = {**said.get("metadata", {}), PERSON: person}
    return json.dumps(said) if is_text else serialize_binary_message(said)


def person_of(user: User) -> str:
    """Return how a journal names somebody; nothing for who has only a name that was made up."""
    name = _renamed.get(user.username) or user.display_name or user.name or ""
    # Jupyter gives no other sign of it; `whoami.js` goes by the same.
    is_made_up = not name or name.startswith("Anonymous ")
    return "" if is_made_up else str(Person(username=user.username, name=name))
