"""The playground: a chat in the browser, at `/`. Its front end lies in `front/`; docs/playground.md describes it."""
