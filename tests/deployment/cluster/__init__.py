"""What only a cluster can show: run by CI in a kind cluster, from inside, with the image itself as the client."""
