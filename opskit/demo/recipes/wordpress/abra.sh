#!/bin/bash

export ENTRYPOINT_VERSION=v3
