FROM debian:bookworm-slim
ENV APP_HOME=/usr/src/app
WORKDIR ${APP_HOME}
ONBUILD ARG APP_VERSION=dev
ONBUILD COPY config.env ./
ONBUILD COPY --chown=1000:1000 src/ ${APP_HOME}/src/
ONBUILD RUN . ./config.env && \
    sed -i "s/@GREETING@/$GREETING/; s/@VERSION@/$APP_VERSION/" src/*.sh && \
    sh -n src/main.sh
ONBUILD LABEL version=$APP_VERSION
CMD ["sh", "src/main.sh"]
