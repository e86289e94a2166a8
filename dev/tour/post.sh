call() { curl -sS -H 'Host: pagamentos.local' -H "Authorization: Bearer $key" "$@"; }

call -i "$url/v1/transactions" -H 'Content-Type: application/json' \
  -H 'Idempotency-Key: pedido-4711' -H 'Prefer: wait=10' \
  -d '{"account": "ana", "kind": "entrada", "amount": "1234.56", "currency": "BRL"}'
call "$url/v1/accounts/ana/statement?currency=BRL"
