"""Credential hooks: telling a running database the password that a secret's new version holds.

A database keeps its passwords inside and reads the mounted file at its first start only. A hook
is a short shell script that runs in the database's own container, where the old file is still
mounted. The new password reaches it on its input. The old one never leaves the container: undoing
reads it there.

No crash may leave a password that nobody knows. So a hook never needs a password that it may have
replaced itself, and can be run again with another one at any time:

- ``postgres`` logs in over the local socket, which must ask for no password (as the official
  image has it);
- ``mariadb`` logs in as root, and never changes the account it logs in with;
- ``redis`` keeps the old password beside the new one until the server restarts with the new file.
"""
