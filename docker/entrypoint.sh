#!/bin/sh
# `docker run .. bert-as-service 2 -max_seq_len 64`: a first argument that is a number is the number of workers. All
# other arguments are options of bert-serving-start.
set -eu
case "${1-}" in
    '' | *[!0-9]*) ;;
    *) set -- -num_worker "$@" ;;
esac
exec bert-serving-start "$@"
