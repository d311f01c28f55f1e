# docker build --tag ottoscaler .
# The base can be pinned further, such as --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# Without pip in it: the build stage's own installs from outside, so the result has none.
RUN python -m venv --without-pip /opt/ottoscaler
WORKDIR /src
# First the dependencies, from setup.cfg and an empty package: a layer that a change of the code leaves alone.
COPY setup.cfg setup.py pyproject.toml ./
RUN mkdir ottoscaler && touch ottoscaler/__init__.py README.md LICENSE \
    && python -m pip --python /opt/ottoscaler/bin/python install --quiet . \
    && rm -r ottoscaler README.md LICENSE build *.egg-info
COPY README.md LICENSE ./
COPY ottoscaler ottoscaler
RUN python -m pip --python /opt/ottoscaler/bin/python install --quiet --no-deps --force-reinstall . \
    && /opt/ottoscaler/bin/python -m ottoscaler --version

FROM ${PYTHON_IMAGE}
# Nothing in the result can install or build.
RUN python -m pip uninstall --quiet --yes --root-user-action ignore setuptools wheel pip \
    && rm -rf /usr/local/lib/python3.*/ensurepip
COPY --from=build /opt/ottoscaler /opt/ottoscaler
ENV PATH=/opt/ottoscaler/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ottoscaler" \
      org.opencontainers.image.description="Turns events on a Redis Stream into worker Pods on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /
USER 65532:65532
EXPOSE 9090
STOPSIGNAL SIGTERM
# No shell in between: Python is PID 1 and gets the signals itself. Arguments are subcommands, such as check.
ENTRYPOINT ["python", "-m", "ottoscaler"]
