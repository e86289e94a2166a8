helm install traefik traefik --repo https://traefik.github.io/charts --namespace ingress --create-namespace \
  --set service.type=NodePort --set ports.web.nodePort=30080 --wait
url=http://127.0.0.1:8080
