#!/bin/sh
# The demo's deployments, in a work pool of their own, so that no worker of real Azure takes its runs; and the automation
# that ends the access of its lost runs.
set -eu
umask 077
python deployments/compose/demo_deployment.py
prefect work-pool inspect sandbox >/dev/null 2>&1 \
    || prefect work-pool create sandbox --type process --base-job-template deployments/work-pools/process.json
prefect --no-prompt deploy --all --prefect-file /demo/prefect.yaml
exec python deployments/compose/demo_automation.py
