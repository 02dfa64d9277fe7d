# One image for every party of a federation: what it does is its command (see docs/federation/containers.md).
#   docker build -t privaudit-federation .
#   docker run privaudit-federation provision|server|run|join|status|stop --help
FROM python:3.11-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/privaudit
WORKDIR /src
COPY constraints.txt ./
# The build of torch without CUDA: the image is some gigabytes smaller, and no party needs a card.
RUN /opt/privaudit/bin/pip install --constraint constraints.txt --index-url "$TORCH_INDEX" \
      --extra-index-url https://pypi.org/simple torch
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY privaudit privaudit
COPY pipelines pipelines
COPY mimic_demo mimic_demo
RUN /opt/privaudit/bin/pip install --constraint constraints.txt '.[federation]'

FROM python:3.11-slim
# A number, not a name, so that the owner of the mounted folder can be given on the host too.
RUN groupadd --gid 10001 privaudit && useradd --uid 10001 --gid 10001 --no-create-home privaudit \
    && install -d -o 10001 -g 10001 -m 700 /federation /home/privaudit
COPY --from=build /opt/privaudit /opt/privaudit
ENV PATH=/opt/privaudit/bin:$PATH \
    HOME=/home/privaudit \
    TMPDIR=/tmp \
    OMP_NUM_THREADS=1 \
    MALLOC_ARENA_MAX=2 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /federation
VOLUME /federation
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s CMD ["privaudit", "federation", "status", "/federation"]
ENTRYPOINT ["privaudit", "federation"]
CMD ["--help"]
