#!/bin/bash

export FPM_TUNE_VERSION=v5

run_occ() {
  su -p www-data -s /bin/sh -c "/var/www/html/occ $*"
}

set_trusted_domains() {
  run_occ config:system:set trusted_domains 1 --value="$DOMAIN"
}
