kubectl -n pagamentos patch txp/pagamentos --type=merge \
  -p '{"spec": {"listener": {"scaling": {"catchUp": "10s", "scaleInDelay": "15s", "maxReplicas": 4}}}}'
records=$(seq 1000 | sed 's/.*/{"account":"conta-&","kind":"entrada","amount":"1.00","currency":"BRL"}/')
for batch in $(seq 60); do
  call "$url/v1/transactions/batch" -H 'Content-Type: application/x-ndjson' -H "Idempotency-Key: carga-$batch" \
    --data-binary @- -o /dev/null -w "batch $batch: %{http_code}\n" <<<"$records"
done
kubectl -n pagamentos wait deployment/pagamentos-listener --for=jsonpath='{.spec.replicas}'=4 --timeout=1m
kubectl -n pagamentos get txp
