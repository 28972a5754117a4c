"""The exchange on sockets. In: an exchange without I/O, addresses, TLS. Out: ports that clients connect to."""
