#!/bin/sh
# The local Azure, with its home and the variables of its clients on the volume that the demo's worker shares.
set -eu
umask 077
# Left by a container that was killed; the process number in it means another process in this one.
rm -f /demo/.sandbox/running.json /demo/environment
{
    until azure-sandbox env --home /demo/.sandbox --proxy-host sandbox > /demo/.environment 2>/dev/null; do sleep 0.2; done
    mv /demo/.environment /demo/environment
} &
# Everything in this container's network may use it: nothing leads there from outside.
exec azure-sandbox serve --host 0.0.0.0 --home /demo/.sandbox --speed "$SANDBOX_SPEED" \
    ${SANDBOX_SCENARIO:+--scenario "$SANDBOX_SCENARIO"}
