# Runs setup.sql unless an earlier try has finished it, and sets the password of the role. psql hashes
# the password before it sends it, so that the server's log never has it.
set -eu
found=$(psql -X --tuples-only --no-align --set ON_ERROR_STOP=1 \
    --command "SELECT count(*) FROM pg_publication WHERE pubname = '$PUBLICATION'")
if [ "$found" = 0 ]; then
    psql -X --set ON_ERROR_STOP=1 --file "${SETUP_SQL:-/setup/setup.sql}"
fi
printf '%s\n%s\n' "$ROLE_PASSWORD" "$ROLE_PASSWORD" |
    psql -X --set ON_ERROR_STOP=1 --command "\\password $ROLE"
