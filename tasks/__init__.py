"""Steps of the flows. Importing them masks the logs of this process, before Prefect gets them."""

from tasks.logs import protect_logs

protect_logs()
