#!/bin/bash

export HOMESERVER_YAML_VERSION=v30

set_admin() {
  psql -U synapse -c "UPDATE users SET admin = 1 WHERE name = '$1'"
}
