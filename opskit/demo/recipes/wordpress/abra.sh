#!/bin/bash

export HTACCESS_CONF_VERSION=v3

core_install() {
  wp core install --url="https://$DOMAIN" --title="$TITLE" --admin_user=admin
}
