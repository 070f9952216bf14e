#!/usr/bin/env bash
# Train encoders on all that was known at the end of the first night, release them, and run the
# nights from which the comparison's requests read.
#
#   docs/guides/ranking-teams-example/build_warehouse.sh 2011-06-30 2011-07-31 2011-08-31 ...
set -euo pipefail

config=${CONFIG:-docs/guides/ranking-teams-example/shop.toml}
first=$1
last=${!#}
shift

embedmill run --config "$config" --ds "$first" --to spu
trained=$(
    embedmill train cope --config "$config" --ds "$first"
    embedmill train learn --config "$config" --ds "$first"
)
echo "$trained"
mapfile -t encoders < <(
    grep -E '^(cope|semantic_id|learn_content|learn_user|learn_item)=' <<<"$trained" | sed 's/^/--encoder=/'
)
embedmill release create --config "$config" --even-if-worse "${encoders[@]}"
embedmill release promote --config "$config" r1
embedmill run --config "$config" --ds "$first" --from item_embeddings --to publish
# A training set is read from the tables: only the last night has to be online.
for night in "$@"; do
    embedmill run --config "$config" --ds "$night" --to "$([ "$night" = "$last" ] && echo materialize || echo publish)"
done
