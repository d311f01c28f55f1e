"""The nodes of the embedded cluster: a scheduler, and kubelets that run Pods or simulate them."""
