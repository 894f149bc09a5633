# Lockstep in a container: docs/containers.md tells how to run it and what takes the room.
#
#   docker build --target cpu  --build-arg TORCH_INDEX=… -t lockstep:cpu .
#   docker build --target cuda -t lockstep:cuda .
#
# The targets differ in the torch wheel they are for, which TORCH_INDEX chooses, as in the Makefile:
# without it pip takes the CUDA build on Linux, several GB; PyTorch's CPU wheel index has the other.

ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG TORCH_INDEX=
ENV PATH=/opt/lockstep/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# What rarely changes goes first, so that new code installs nothing again. The steps are the
# Makefile's. The compiler is for models/csrc, and stays behind.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
COPY requirements.lock ./
RUN python3 -m venv /opt/lockstep \
 && grep '^torch==' requirements.lock > /tmp/torch \
 && pip install --no-compile ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} --no-deps --requirement /tmp/torch
COPY pyproject.toml ./
# Out goes what only builds against torch, or tests it. The rest is compiled here, since nobody can
# write where it runs, and by content alone: the same packages are the same layer, whenever built.
# One file of torch's is for newer Pythons and says so in its name.
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *project['optional-dependencies']['tracing'], sep='\n')" > /tmp/dependencies \
 && pip install --no-compile --constraint requirements.lock --requirement /tmp/dependencies \
 && torch=$(python -c "import sysconfig; print(sysconfig.get_path('purelib') + '/torch')") \
 && rm -rf "$torch/include" "$torch/test" "$torch"/bin/protoc* "$torch"/bin/test_* \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(pip|setuptools)/|/py31[2-9]_' /opt/lockstep/lib
COPY README.md LICENSE NOTICE ./
COPY bench bench
COPY cli cli
COPY models models
COPY service service
COPY training training
COPY web web
RUN pip install --no-compile --no-deps --no-build-isolation --editable . \
 && python -c "from models import native; assert native.library(), 'models/csrc was not built'" \
 && pip uninstall --yes setuptools pip \
 && python -m compileall -q --invalidation-mode unchecked-hash /app /opt/lockstep/lib/python3*/site-packages/__editable__*.py

# The load test alone: Locust, and nothing of torch. `docker compose --profile load` runs it.
FROM ${BASE_IMAGE} AS load
ENV PATH=/opt/load/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.lock ./
RUN python3 -m venv /opt/load \
 && pip install --constraint requirements.lock locust \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lockstep
COPY bench bench
COPY training training
USER 10001:10001
ENTRYPOINT ["locust", "-f", "bench/loadtest/locustfile.py", "--headless", "--only-summary"]

FROM ${BASE_IMAGE} AS service
LABEL org.opencontainers.image.title="Lockstep" \
      org.opencontainers.image.licenses="Apache-2.0"
# Out go the base's own pip and the copies that venv makes another from. The standard library comes
# uncompiled with Python's own images.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/* \
           /usr/local/lib/python3*/ensurepip /usr/lib/python3*/ensurepip /usr/share/python-wheels \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(tests?|idlelib|lib2to3|turtledemo)/' \
        "$(python3 -c "import sysconfig; print(sysconfig.get_path('stdlib'))")" \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lockstep
COPY --from=build /opt/lockstep /opt/lockstep
COPY weights /app/weights
COPY --from=build /app /app
ENV PATH=/opt/lockstep/bin:$PATH PYTHONUNBUFFERED=1 LOCKSTEP_HOST=0.0.0.0 LOCKSTEP_PORT=8000
USER 10001:10001
WORKDIR /app
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=4s --start-period=300s --retries=3 \
  CMD ["python", "-c", "import http.client, os, sys; sys.tracebacklimit = 0; http = http.client.HTTPConnection('127.0.0.1', int(os.environ['LOCKSTEP_PORT']), timeout=3); http.request('GET', '/health/ready'); sys.exit(http.getresponse().status != 200)"]
ENTRYPOINT ["lockstep"]
CMD ["serve"]

# Doesn't start where torch sees no GPU, rather than serve from the CPU unnoticed.
FROM service AS cuda
ENV LOCKSTEP_DEVICE=cuda NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM service AS cpu
ENV LOCKSTEP_DEVICE=cpu
