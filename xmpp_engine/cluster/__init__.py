"""Links between the nodes of a cluster (layer 3, beside routing): start reading at cluster.py."""
