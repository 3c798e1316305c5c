client=$(command -v mariadb || command -v mysql) ||
  fail 'there is neither mariadb nor mysql in the container.'
[ -n "$user" ] || user=$(given MARIADB_USER)
[ -n "$user" ] || user=$(given MYSQL_USER)
[ -n "$user" ] || fail 'neither MARIADB_USER nor MYSQL_USER is set: name the user with user=NAME.'
as_root() { "$client" -u root -N -B --default-character-set=utf8mb4 2>&1; }

if ! echo 'SELECT 1;' | as_root >/dev/null; then
  MYSQL_PWD=$(given MARIADB_ROOT_PASSWORD)
  [ -n "$MYSQL_PWD" ] || MYSQL_PWD=$(given MYSQL_ROOT_PASSWORD)
  export MYSQL_PWD
  echo 'SELECT 1;' | as_root >/dev/null ||
    try_later 'root can log in neither without a password nor with the one the container names.'
fi

# Everything from outside goes in as hexadecimal digits: there is nothing to quote. The account
# that is logged in stays as it is, so that the hook can always log in again.
accounts="FROM mysql.user WHERE BINARY User = X'$(hex "$user")'
  AND CONCAT(User, '@', Host) <> CURRENT_USER()"
[ "$(echo "SELECT COUNT(*) $accounts;" | as_root)" -gt 0 ] || fail \
  "there is no account of $user to change, apart from the one that the hook logs in with."
case $(echo 'SELECT VERSION();' | as_root) in
  # MariaDB writes statements into its binary log as they came; MySQL leaves passwords out.
  *MariaDB*)
    how="' IDENTIFIED BY PASSWORD ', QUOTE(CONCAT('*', UPPER(SHA1(UNHEX(SHA1(@password))))))" ;;
  *) how="' IDENTIFIED BY ', QUOTE(@password)" ;;
esac
said=$(as_root <<END
SET SESSION sql_log_off = 1;
SET SESSION sql_mode = '', group_concat_max_len = 1000000;
SET @password = CONVERT(X'$(hex "$password")' USING utf8mb4);
SET @change = (SELECT CONCAT('ALTER USER ',
  GROUP_CONCAT(QUOTE(User), '@', QUOTE(Host), $how)) $accounts);
PREPARE change_password FROM @change;
EXECUTE change_password;
END
) || fail "the server refused to change the password of $user ($(
  printf %s "$said" | sed -n 's/^ERROR \([0-9]*\).*/error \1/p' | tail -n 1))."
