# shellcheck shell=bash disable=SC2034,SC2154 # sourced by run, whose variables it shares
# Three real brokers on the node's address, and what Strimzi would say of them: its images cannot be had here. The
# resources are checked by Strimzi's own definitions, and the topics answered by the stand-in for its Topic Operator.
dev/strimzi/crds "$KUBECONFIG"
kubectl create namespace kafka
kubectl apply -f crds/examples/kafka.yaml
# No name server can be reached from there: for each client's name, a broker would wait for one.
export KAFKA_OPTS=-Djdk.net.hosts.file=/etc/hosts
KAFKA_HOST=$node KAFKA_SASL=1 KAFKA_NAMES=eventos-kafka-bootstrap.kafka.svc "${inside[@]}" dev/kafka/up 9092 3
brokers=${REAL_KAFKA_HOME:-$HOME/.cache/real-kafka}/9092

kubectl -n kafka create secret generic eventos-cluster-ca-cert --from-file=ca.crt="$brokers/tls/ca.pem"
kubectl -n kafka create secret generic fluxo --from-literal=password=fluxo-secret   # of the user that dev/kafka makes
kubectl -n kafka apply -f - <<Y
apiVersion: v1
kind: Service
metadata: {name: eventos-kafka-bootstrap}
spec:
  ports: [{name: tcp-tls, port: 9093}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: eventos-kafka-bootstrap, labels: {kubernetes.io/service-name: eventos-kafka-bootstrap}}
addressType: IPv4
ports: [{name: tcp-tls, port: 9192}]
endpoints: [{addresses: [$node], conditions: {ready: true}}]
Y
kubectl -n kafka patch kafka/eventos --subresource=status --type=merge --patch-file=/dev/stdin <<Y
status:
  observedGeneration: 1
  clusterId: $(sed -n 's/^cluster.id=//p' "$brokers/1/data/meta.properties")
  conditions: [{type: Ready, status: "True"}]
  listeners:
  - name: tls
    bootstrapServers: eventos-kafka-bootstrap.kafka.svc:9093
    addresses: [{host: eventos-kafka-bootstrap.kafka.svc, port: 9093}]
    certificates:
    - |
$(sed 's/^/      /' "$brokers/tls/ca.pem")
Y
kubectl -n kafka patch kafkauser/fluxo --subresource=status --type=merge --patch-file=/dev/stdin <<Y
status:
  observedGeneration: 1
  username: fluxo
  secret: fluxo
  conditions: [{type: Ready, status: "True"}]
Y
setsid nohup "$tools/topic-operator" --namespace kafka --cluster eventos --bootstrap-servers "$node:9092" \
  >"$home/topic-operator.log" 2>&1 </dev/null &
echo $! > "$home/topic-operator.pid"
kubectl -n kafka wait kafka/eventos kafkauser/fluxo --for=condition=Ready --timeout=10m
