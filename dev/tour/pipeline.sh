key=$(openssl rand -hex 32)
sha256=$(printf %s "$key" | openssl dgst -sha256 -r | cut -d ' ' -f 1)
kubectl -n pagamentos create secret generic fluxo-keys --from-literal=keys.json='{"clients": [
  {"name": "erp", "keys": [{"sha256": "'"$sha256"'", "scopes": ["write", "read"]}]}]}'

certificate=$(mktemp -d)
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=pagamentos.local \
  -addext subjectAltName=DNS:pagamentos.local -keyout "$certificate/tls.key" -out "$certificate/tls.crt"
kubectl -n pagamentos create secret tls pagamentos-tls --key "$certificate/tls.key" --cert "$certificate/tls.crt"

kubectl create priorityclass payments --value=1000   # which this pipeline names
kubectl apply -f crds/examples/strimzi.yaml
kubectl -n pagamentos wait txp/pagamentos --for=condition=Ready --timeout=5m
kubectl -n pagamentos get txp,deployments,ingresses
kubectl -n kafka get kafkatopics
