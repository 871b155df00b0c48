"""HTTP: scans in, readings and pictures out, reviews, webhooks; the station's pages are served beside it."""
