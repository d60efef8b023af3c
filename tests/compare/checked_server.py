"""`bert-serving-start` of the sources that `sources.VARIABLE` names, and of no others; it takes the same options."""

from __future__ import annotations

from compare import sources

if __name__ == "__main__":
    sources.check(sources.CLIENT, sources.SERVER)
    from bert_serving.server.cli.start import main

    main()
