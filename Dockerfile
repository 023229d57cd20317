# docker build -t ganflow . && docker run --rm -v "$PWD":/work ganflow run wgan
# A test runs these commands, one by one, in a fresh folder; no image was built where they were written.
FROM python:3.11-slim
COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt /src
RUN rm -rf /src
ENV GANFLOW_CACHE=/work/.cache MPLCONFIGDIR=/tmp
WORKDIR /work
ENTRYPOINT ["ganflow"]
CMD ["--help"]
