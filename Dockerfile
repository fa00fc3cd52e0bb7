# Two images from one file: `web` (no torch) and `trainer` (with it).
FROM python:3.11-slim-bookworm AS web
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 ZHONGJING_HOME=/var/lib/zhongjing
RUN useradd --create-home --uid 1000 zhongjing && install -d -o zhongjing -g zhongjing /var/lib/zhongjing
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY annotation annotation
COPY app app
COPY migrations migrations
COPY rlhf rlhf
COPY templates templates
COPY workers workers
RUN pip install -c constraints.txt '.[postgres]'
USER 1000:1000
WORKDIR /var/lib/zhongjing
EXPOSE 8000
CMD ["uvicorn", "--factory", "app.main:serve", "--host", "0.0.0.0", "--port", "8000", "--no-server-header"]

FROM web AS trainer
USER root
WORKDIR /src
RUN pip install -c constraints.txt '.[train,postgres]'
USER 1000:1000
WORKDIR /var/lib/zhongjing
CMD ["celery", "-A", "workers.tasks", "worker", "-Q", "training", "-c", "1", "--loglevel", "WARNING"]
