helm install strimzi oci://quay.io/strimzi-helm/strimzi-kafka-operator --version 1.2.0 \
  --namespace kafka --create-namespace --wait
kubectl apply -f crds/examples/kafka.yaml
kubectl -n kafka wait kafka/eventos kafkauser/fluxo --for=condition=Ready --timeout=10m
