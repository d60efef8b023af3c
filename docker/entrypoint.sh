#!/bin/sh
# `docker run .. bert-as-service 2 -max_seq_len 64`: a number in front is that of workers, all else are options.
set -eu
case "${1-}" in
    '' | *[!0-9]*) ;;
    *) set -- -num_worker "$@" ;;
esac
exec bert-serving-start "$@"
