[ -n "$user" ] || user=$(given POSTGRES_USER)
user=${user:-postgres}
as_user() { psql -X -q -w -U "$user" -d postgres "$@"; }

command -v psql >/dev/null || fail 'there is no psql in the container.'
as_user -c 'SELECT' >/dev/null 2>&1 || try_later \
  "psql cannot log in as $user over the local socket without a password."
case $(psql --version) in
  *' '[89].* | *' '1[0-3].*)
    [ "${#password}" -lt 100 ] || fail 'psql before 14 cuts passwords after 99 bytes.' ;;
esac
# \password sends what the server stores, a SCRAM verifier, so that no server log, pg_stat_activity
# or extension ever sees the password.
printf '%s\n%s\n' "$password" "$password" | as_user -c '\password' >/dev/null 2>&1 ||
  fail "PostgreSQL refused to change the password of $user."
