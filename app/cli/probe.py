"""`python -m app.cli.probe`: the health check of an image without a shell. Exit code 0 if the gateway is alive."""

import http.client
import os
import ssl

_TIMEOUT_SECONDS = 2.5
_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 -- it is only compared  # nosec B104


def probe() -> int:
    """Request the health of the gateway on this machine; returns 0 if it is alive, 1 otherwise."""
    port = int(os.environ.get("PORT") or 8000)
    host = os.environ.get("HOST") or _ALL_ADDRESSES
    host = "127.0.0.1" if host == _ALL_ADDRESSES else host
    connection: http.client.HTTPConnection
    if os.environ.get("TLS_CERTFILE"):
        # the certificate names the service and not the loopback address, where no other host can answer
        context = ssl._create_unverified_context()  # noqa: S323  # nosec B323
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health")
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    raise SystemExit(probe())
