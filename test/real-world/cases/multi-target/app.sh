echo "listening on $PORT"
echo "env=$APP_ENV level=$LOG_LEVEL debug=$DEBUG user=$(id -un)"
cat deps.txt
