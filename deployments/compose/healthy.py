"""Whether a web address answers as it should: the health check of containers that have no curl.

    python deployments/compose/healthy.py ADDRESS [STATUS]

The status is 200, unless another one is named: a proxy answers a plain request with 405.
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
    expected = int(sys.argv[2]) if len(sys.argv) > 2 else http.client.OK
    sys.exit(0 if status == expected else f"{sys.argv[1]}: status {status}")
