# docs/docker.md describes how to build and run the image. For GPUs: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
FROM python:3.12-slim

# torch.compile, AOTInductor and Triton call a compiler at run time
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/pks4
COPY pyproject.toml README.md LICENSE constraints.txt requirements.lock ./
COPY configs configs
COPY pks4_lightning pks4_lightning

# use the locked versions without their hashes, because torch's hashes differ between builds
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN sed '/--hash/d; s/ \\$//' requirements.lock > versions.txt
RUN pip install --no-cache-dir --extra-index-url $TORCH_INDEX -c constraints.txt -c versions.txt '.[export]'

RUN useradd --create-home pks4
USER pks4
WORKDIR /home/pks4
ENTRYPOINT ["pks4"]
CMD ["--help"]
