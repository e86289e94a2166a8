kind delete cluster --name fluxo
