"""How the processes of the service talk: internal messages and the sockets that carry them."""
