printf %s "$password" | "$@" >/dev/null 2>&1 || fail "the program $1 ended with status $?."
