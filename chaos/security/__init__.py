"""``make security``: what peers, files and a server may try, each case named after its threat in docs/security.md."""
