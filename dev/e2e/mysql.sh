# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
# A real MySQL on the node's address.
password=$(openssl rand -hex 16)
database() { REAL_MYSQL_HOST=$node "${inside[@]}" dev/mysql/up 3306; }
database
dev/mysql/client 3306 -e "CREATE DATABASE fluxo CHARACTER SET utf8mb4;
  CREATE USER fluxo@'%' IDENTIFIED BY '$password'; GRANT ALL ON fluxo.* TO fluxo@'%'"

kubectl create namespace pagamentos
kubectl label namespace pagamentos pod-security.kubernetes.io/enforce=restricted
kubectl -n pagamentos create secret generic mysql-fluxo --from-literal=username=fluxo --from-literal=password="$password"
kubectl -n pagamentos create secret generic mysql-ca \
  --from-file=ca.crt="${REAL_MYSQL_HOME:-$HOME/.cache/real-mysql}/data-3306/ca.pem"
kubectl -n pagamentos apply -f - <<Y
apiVersion: v1
kind: Service
metadata: {name: mysql}
spec:
  ports: [{name: mysql, port: 3306}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: mysql, labels: {kubernetes.io/service-name: mysql}}
addressType: IPv4
ports: [{name: mysql, port: 3306}]
endpoints: [{addresses: [$node], conditions: {ready: true}}]
Y
