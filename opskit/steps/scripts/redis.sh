client=$(command -v redis-cli || command -v valkey-cli) ||
  fail 'there is neither redis-cli nor valkey-cli in the container.'
old=$(cat "$file") || fail "$file cannot be read in the container."
ask() { printf '%s\n' "$1" | REDISCLI_AUTH=$old "$client" 2>/dev/null; }
digest() { printf %s "$1" | sha256sum | cut -c 1-64; }

[ "$(ask PING)" = PONG ] || try_later "Redis does not answer to the password in $file."
[ "$(ask 'CONFIG GET aclfile' | tail -n 1)" = '' ] || fail \
  'Redis keeps its users in an ACL file, which this hook does not change: use a command hook.'
passwords="#$(digest "$old")"
# Both are good until Redis restarts with the new file; the server is told their digests only.
[ "$action" = restore ] || passwords="$passwords #$(digest "$password")"
[ "$(ask "ACL SETUSER default resetpass $passwords")" = OK ] ||
  fail 'Redis refused to change the password of its default user (it must be 6 or newer).'
