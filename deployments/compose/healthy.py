"""Whether a web address answers with success: the health check of containers that have no curl.

python deployments/compose/healthy.py http://127.0.0.1:4200/api/ready
"""

from __future__ import annotations

import http.client
import sys
from urllib.parse import urlsplit

if __name__ == "__main__":
    address = urlsplit(sys.argv[1])
    # No urllib.request: it would take the environment's proxy.
    connection = http.client.HTTPConnection(address.netloc, timeout=8)
    try:
        connection.request("GET", address.path)
        status = connection.getresponse().status
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    sys.exit(0 if status == http.client.OK else f"{sys.argv[1]}: status {status}")
