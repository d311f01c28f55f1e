"""The service with a real node: a kubelet, containerd and containers that really run."""
