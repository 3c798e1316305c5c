#!/bin/bash
# shellcheck disable=SC2034
