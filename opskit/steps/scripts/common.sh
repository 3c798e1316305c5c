# Runs in the database's container as: sh -c THIS opskit-hook set|restore FILE USER [PROGRAM...]
# The password to set is one line of the input; the one to restore is in the mounted FILE.
# Only lines that begin with "opskit: " are shown to the operator. Status 75: try again later.
set -eu
action=$1 file=$2 user=$3
shift 3

fail() { printf 'opskit: %s\n' "$1" >&2; exit "${2:-1}"; }
try_later() { fail "$1" 75; }

# The value of the variable $1, or what is in the file that the variable $1_FILE names.
given() {
  eval "given=\${$1:-} given_file=\${$1_FILE:-}"
  if [ -z "$given" ] && [ -r "$given_file" ]; then given=$(cat "$given_file"); fi
  printf %s "$given"
}

# printf is built into the shell: nothing here puts a password into an argument.
hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }

case $action in
  set) IFS= read -r password || fail 'no password came in.' ;;
  restore) password=$(cat "$file") || fail "$file cannot be read in the container." ;;
esac
