#!/bin/sh
# A worker for which Azure is the local one.
set -eu
. /demo/environment
# Prefect's websockets would go through the proxy too, which refuses every host that is not Azure's.
export NO_PROXY="$NO_PROXY,server" no_proxy="$no_proxy,server"
exec prefect worker start --pool sandbox --with-healthcheck
