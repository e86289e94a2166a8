kubectl create namespace pagamentos
kubectl label namespace pagamentos pod-security.kubernetes.io/enforce=restricted
kubectl -n pagamentos create secret generic mysql-fluxo \
  --from-literal=username=fluxo --from-literal=password="$(openssl rand -hex 16)"
kubectl -n pagamentos apply -f dev/tour/mysql.yaml
kubectl -n pagamentos rollout status statefulset/mysql --timeout=10m
kubectl -n pagamentos create secret generic mysql-ca \
  --from-literal=ca.crt="$(kubectl -n pagamentos exec mysql-0 -- cat /var/lib/mysql/ca.pem)"
