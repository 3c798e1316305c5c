#!/bin/bash

export FPM_TUNE_VERSION=v5

set_trusted_domains() {
  occ config:system:set trusted_domains 0 --value="$DOMAIN"
}
