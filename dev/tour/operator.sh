kubectl apply --server-side -f crds/transactionpipelines.yaml
helm install fluxo charts/fluxo --namespace fluxo-system --create-namespace \
  --set crds.enabled=false --set image.repository=localhost/fluxo --wait
helm test fluxo --namespace fluxo-system
