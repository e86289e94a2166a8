kubectl -n pagamentos scale statefulset/mysql --replicas=1
