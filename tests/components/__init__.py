"""Components on a node of their own, over real sockets."""
