for image in api listener migrations operator; do
  docker build -f services/Dockerfile --target "$image" -t "localhost/fluxo-$image:0.1.0" .
  kind load docker-image --name fluxo "localhost/fluxo-$image:0.1.0"
done
