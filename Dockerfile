# make image, or: docker build --tag ottoscaler .
# The base can be pinned further, such as --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
# 3.11: no newer Python took clearly less CPU a worker, as the official image builds it (docs/performance.md, "The interpreter").
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Every time in the result; the commit's own in `make image` and in a release, so that it depends on no clock.
ARG SOURCE_DATE_EPOCH=0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0
# Without pip in them: this stage's own installs from outside.
RUN python3 -m venv --without-pip /opt/ottoscaler && python3 -m venv --without-pip /opt/build
WORKDIR /src
# First what others wrote, by hash: layers that a change of the code leaves alone.
COPY requirements-build.lock.txt requirements.lock.txt ./
RUN python3 -m pip --python /opt/build/bin/python install --quiet --no-deps --only-binary :all: --no-compile \
        --require-hashes --requirement requirements-build.lock.txt \
    && python3 -m pip --python /opt/ottoscaler/bin/python install --quiet --no-deps --only-binary :all: --no-compile \
        --require-hashes --requirement requirements.lock.txt
COPY setup.cfg setup.py pyproject.toml README.md LICENSE ./
COPY ottoscaler ottoscaler
ARG VERSION=0.0.0+unversioned
RUN mkdir /wheel && SETUPTOOLS_SCM_PRETEND_VERSION_FOR_OTTOSCALER=${VERSION} /opt/build/bin/python -c \
        'from setuptools.build_meta import build_wheel; build_wheel("/wheel")' \
    && python3 -m pip --python /opt/ottoscaler/bin/python install --quiet --no-deps --no-index --no-compile /wheel/*.whl \
    && rm /opt/ottoscaler/lib/python3*/site-packages/ottoscaler-*.dist-info/direct_url.json
COPY image/rootfs.py /src/
RUN python3 -B /src/rootfs.py /opt/ottoscaler /rootfs && /opt/ottoscaler/bin/python -I -B -m ottoscaler --version

# Nothing but what rootfs.py laid out: no shell, no package manager, no setuid file.
FROM scratch
COPY --from=build /rootfs/ /
# GLIBC_TUNABLES: each of up to a thousand threads would keep some of the freed memory that it has used, 20 MiB in all after
# 96,000 workers (docs/performance.md, "Memory over time").
ENV PATH=/opt/ottoscaler/bin \
    GLIBC_TUNABLES=glibc.malloc.tcache_max=512 \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
ARG VERSION=0.0.0+unversioned
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE_URL=https://github.com/ottoscaler/ottoscaler
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="ottoscaler" \
      org.opencontainers.image.description="Turns events on a Redis Stream into worker Pods on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE_URL}" \
      org.opencontainers.image.documentation="${SOURCE_URL}/tree/main/docs" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /
USER 65532:65532
EXPOSE 9090
STOPSIGNAL SIGTERM
# No shell in between: Python is PID 1 and gets the signals itself. Arguments are subcommands, such as check.
ENTRYPOINT ["python", "-m", "ottoscaler"]
