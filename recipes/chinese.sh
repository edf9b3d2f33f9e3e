#!/usr/bin/env bash
# The whole way to a Chinese InterBERT, on this machine and without any weights: a data set out of a catalogue, a BERT
# out of its titles, pretraining, fine-tuning for retrieval, the exact ranking of the test split, topic pages.
#
#   make chinese                                                            OpenMoji's Chinese names
#   make chinese SOURCE=train.parquet TEXTS=title_zh TOPICS=topics.jsonl    your catalogue
#
# Every step is done once: after a stop the same command goes on. OUT/data/README.md is the data set's card,
# OUT/topics.html the pages, OUT/retrieval.json the figures.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-chinese} SOURCE=${2:-} TITLE=${3:-title_zh} TOPICS=${4:-}
DATASET=recipes/dataset_chinese.yaml MORE_TEXT=() MORE_PAIRS=() TEXTS=title TOPIC_TEXT=text_zh,text

if [ -z "$SOURCE" ]; then # 1,600 drawings: more passes, or there are no steps to learn in
  python -c "import sys; from interbert.demo.catalogue import prepare_openmoji; prepare_openmoji(sys.argv[1])" "$OUT/images"
  SOURCE="$OUT/images/*.parquet" DATASET=recipes/dataset_chinese_small.yaml TOPICS=recipes/topics_chinese.jsonl
  TEXTS=title,tags_zh TOPIC_TEXT=text MORE_TEXT=(--training.epochs 60) # names alone have little in common
  MORE_PAIRS=(--training.epochs 12 --training.batch-size 64 --training.learning-rate 3e-4 --training.ema-decay 0.99)
  MORE_PAIRS+=(--warm-start.dropout 0.7 --model.region-dropout 0.3) # they are learnt by heart in no time
fi

interbert dataset build "$SOURCE" "$OUT/data" --config "$DATASET" --title-column "$TITLE"
interbert pretrain text "$OUT/data/train-*.parquet" "$OUT/text" --config recipes/pretrain_text_mini.yaml \
  --text-columns "$TEXTS" --validation "$OUT/data/validation-*.parquet" "${MORE_TEXT[@]}"
for split in train validation test; do
  interbert extract "$OUT/data/$split-*.parquet" "$OUT/regions/$split" --text-columns "$TEXTS" --scales 1,2
done
interbert pretrain "$OUT/regions/train" "$OUT/pretrained" --config recipes/pretrain_chinese_mini.yaml \
  --init-from "$OUT/text" --validation "$OUT/regions/validation" "${MORE_PAIRS[@]}"
interbert finetune retrieval "$OUT/pretrained" "$OUT/regions/train" "$OUT/retrieval" \
  --config recipes/finetune_retrieval_mini.yaml --validation "$OUT/regions/validation"
interbert evaluate retrieval "$OUT/retrieval" "$OUT/regions/test" --text-columns title --out "$OUT/retrieval.json"
if [ -n "$TOPICS" ]; then
  interbert topics learn "$OUT/retrieval" "$OUT/regions/train" --validation "$OUT/regions/validation"
  interbert index build "$OUT/retrieval" "$OUT/data/test-*.parquet" "$OUT/index" --text-columns title --regions "$OUT/regions/test"
  interbert topics build "$OUT/index" "$TOPICS" "$OUT/topics" --text-columns "$TOPIC_TEXT"
  interbert topics page "$OUT/topics" "$OUT/topics.html"
fi
