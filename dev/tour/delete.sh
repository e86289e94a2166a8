kubectl -n pagamentos delete txp/pagamentos
kubectl -n pagamentos get all,ingresses,networkpolicies,poddisruptionbudgets
kubectl -n kafka get kafkatopics
