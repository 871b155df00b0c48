"""The review station: pages on which a person looks at ink and answers, on the store's own functions."""
