"""How fast others read the same pictures: one module a peer, each run as a process of its own by `compare`."""
