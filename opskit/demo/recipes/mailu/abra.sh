#!/bin/bash

add_user() {
  flask mailu user "$1" "$MAIL_DOMAIN"
}
