# The service, for AWS Lambda and for any container engine: docs/container.md.
#
#   docker build -t image-upload .
#   docker run --rm -p 8080:8080 --env-file .env image-upload
#
# Any base will do that has Python 3.13 as `python` with pip, and /bin/sh. AWS's brings Lambda's emulator too.
ARG BASE_IMAGE=public.ecr.aws/lambda/python:3.13
FROM ${BASE_IMAGE}

# Errors are in the log when they happen, and a command shows its progress.
ENV PYTHONUNBUFFERED=1
WORKDIR /var/task

# Packages change seldom and have a layer of their own. Each has the hash that requirements.txt names; none is built
# from source, so no compiler is needed. pip compiles them to byte code.
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-input --root-user-action=ignore \
        --only-binary=:all: --require-hashes --requirement requirements.txt

# `authorize.py` only if there is one: docs/purposes.md, "Your own check".
COPY entrypoint.sh upload.py purposes.toml authorize.p[y] ./
COPY image_upload image_upload
# What pages import from /client.js.
COPY client/upload.js client/upload.js
# Byte code, because Lambda's file system is read-only: without it every cold start compiles everything, which takes
# twice as long. Readable by all, because Lambda runs it as a user of its own, whatever the umask of the checkout was.
RUN python -m compileall -q upload.py image_upload $(ls authorize.py 2>/dev/null) \
    && chmod -R u=rwX,go=rX . \
    && chmod 755 entrypoint.sh

# Last, because it changes with each commit: docker build --build-arg REVISION=$(git rev-parse HEAD) …
ARG REVISION=unknown
LABEL org.opencontainers.image.title="image-upload" \
      org.opencontainers.image.description="Uploads into S3 from browsers and scripts" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"

# No USER: Lambda takes one of its own, and its emulators mount files for root. The plain server gives root up
# (entrypoint.sh). No HEALTHCHECK: the operator decides how often GET / is asked.
EXPOSE 8080
ENTRYPOINT ["/var/task/entrypoint.sh"]
