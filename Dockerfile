# KD Lab in a container: docker build -t kdlab . && docker run --init -p 8501:8501 -v kdlab:/data kdlab
FROM python:3.12-slim

# Where to take torch and torchvision from, such as the CPU-only wheels; empty is pip's own index.
ARG TORCH_INDEX=""
ENV KDLAB_HOME=/data \
    PYTHONUNBUFFERED=1

WORKDIR /kdlab
COPY requirements.txt ./
RUN if [ -n "$TORCH_INDEX" ]; then \
        grep '^torch' requirements.txt > torch.txt \
        && pip install --no-cache-dir --index-url "$TORCH_INDEX" -r torch.txt; \
    fi \
    && pip install --no-cache-dir -r requirements.txt

COPY pyproject.toml README.md LICENSE requirements-dev.txt ./
COPY app app
COPY kdcore kdcore
COPY assets assets
RUN pip install --no-cache-dir --no-deps --editable . \
    && python -m compileall -q app kdcore \
    && useradd --create-home --uid 1000 kdlab \
    && install --directory --owner=kdlab /data

USER 1000
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/api/health', timeout=4)"]
CMD ["kdlab", "app", "--host", "0.0.0.0", "--no-open"]
