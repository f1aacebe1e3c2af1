ARG NODE_IMAGE=node:26-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The pinned Node of development is left out: the image brings its own.
RUN npm ci --omit=dev --ignore-scripts

FROM ${NODE_IMAGE}
ENV NODE_ENV=production DATA_DIR=/data PORT=8000
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
COPY plugins ./plugins
COPY routes ./routes
RUN mkdir -p /data node_modules/.cache && chown 1000:1000 /data node_modules/.cache && chmod 700 /data
USER 1000:1000
# What Node makes of the sources is kept in the image, by a start of the demo that is ended again: it is found by its user and
# the options of Node, and later nobody may write there.
RUN NODE_ENV=development DATA_DIR=/tmp/demo timeout 20 node --max-semi-space-size=16 --single-threaded-gc src/server.js > /dev/null; \
  rm -r /tmp/demo && test -d node_modules/.cache/compiled
USER 0:0
RUN chown -R 0:0 node_modules/.cache && chmod -R a+rX node_modules/.cache
USER 1000:1000
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive, not ready: a gateway whose Flowise is away must not be restarted. Its own certificate is not in question here.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["node", "-e", "const { env, exit } = process; require(env.TLS_CERT_FILE ? 'https' : 'http').get({ host: '127.0.0.1', port: env.PORT, path: '/health', rejectUnauthorized: false }, (reply) => exit(reply.statusCode === 200 ? 0 : 1)).on('error', () => exit(1))"]
# Without a shell, so that signals reach the process itself.
CMD ["node", "--max-semi-space-size=16", "--single-threaded-gc", "src/server.js"]
