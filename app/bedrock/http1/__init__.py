"""HTTP/1.1 behind the transport port, on asyncio and httptools' parser.

transport   chooses a connection for a request: one that idles in the pool, or a new one that dial makes
dial        name, addresses, proxy, TLS
connection  writes a request, and feeds what comes back to its response
response    what the caller of the port holds
"""
