"""HTTP/1.1 behind the `Transport` protocol, on asyncio and httptools' parser.

transport   sends a request on an idle connection of its pool, or on a new one
connector   makes connections: name resolution, proxies, TLS
connection  writes a request, and fills its response with what arrives
response    what the caller of the transport reads
"""
