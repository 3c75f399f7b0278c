"""Bodies that are text, for schemathesis: it knows JSON, forms and the like."""

import schemathesis


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag", "text/csv")
def as_text(_context, value):
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
