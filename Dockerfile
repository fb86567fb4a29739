# docker build -t uae .                                        the lock's PyTorch, with its CUDA libraries: a GPU needs the host's driver
# docker build -t uae --build-arg TORCH_INDEX=<address> .      PyTorch from an index of your choice, such as one of CPU builds
# docker build -t uae --build-arg BASE=<image> .               a CUDA base, or any image with apt-get and a Python of 3.11 or newer
# docker run --rm -v "$PWD/results:/uae/results" uae           the preview; with --gpus all on a GPU
ARG BASE=python:3.12-slim
FROM ${BASE} AS tools

# Triton compiles its driver: with a C compiler, and the headers of a Python that apt installs (Python's own images have them).
# The versions are those of the base, and what is echoed are three packages or none.
# hadolint ignore=DL3008,SC2046
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc git libc6-dev make \
        $(command -v python3 > /dev/null || echo python3 python3-dev python3-venv) \
    && rm -rf /var/lib/apt/lists/*

FROM tools
WORKDIR /uae
COPY . .
ARG TORCH_INDEX=
RUN make .venv/installed
ENV PATH=/uae/.venv/bin:$PATH

CMD ["make"]
