#!/bin/sh
# The local Azure, with its home and the variables of its clients on the volume that the demo's worker shares.
set -eu
umask 077
# Left by a container that was killed; the process number in it means another process in this one.
rm -f /demo/.sandbox/running.json /demo/environment
{
    until azure-sandbox env --home /demo/.sandbox > /demo/.environment 2>/dev/null; do sleep 0.2; done
    mv /demo/.environment /demo/environment
} &
exec azure-sandbox serve --home /demo/.sandbox --speed "$SANDBOX_SPEED" \
    ${SANDBOX_SCENARIO:+--scenario "$SANDBOX_SCENARIO"}
