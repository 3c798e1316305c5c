#!/bin/bash
export PHP_CONF_VERSION=v3

backup() {
  export NOT_A_VERSION=$(date)
}
