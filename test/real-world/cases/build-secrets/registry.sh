token=$(sed -n 's|^//registry.example/:_authToken=||p' ~/.npmrc)
[ "$token" = s3cr3t ] || { echo "401 unauthorized" >&2; exit 1; }
echo "private package"
