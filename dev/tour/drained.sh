kubectl -n pagamentos wait txp/pagamentos --for=jsonpath='{.status.lag}'=0 --timeout=5m
kubectl -n pagamentos wait deployment/pagamentos-listener --for=jsonpath='{.spec.replicas}'=1 --timeout=5m
kubectl -n pagamentos events --for TransactionPipeline/pagamentos
call "$url/v1/accounts/conta-1/balance"
