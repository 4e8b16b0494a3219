#!/bin/sh
# A work pool of its own for the demo, so that no worker of real Azure takes its runs, and its deployment.
set -eu
umask 077
python deployments/compose/demo_deployment.py
prefect work-pool inspect sandbox >/dev/null 2>&1 || prefect work-pool create sandbox --type process
exec prefect --no-prompt deploy --all --prefect-file /demo/prefect.yaml
