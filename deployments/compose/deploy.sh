#!/bin/sh
# The work pool and every deployment of deployments/prefect.yaml; harmless to repeat.
set -eu
prefect work-pool inspect pratique >/dev/null 2>&1 || prefect work-pool create pratique --type process
exec prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml
