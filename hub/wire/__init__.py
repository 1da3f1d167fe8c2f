"""The words of /ws/streaming: frames, codes, and the codec. docs/PROTOCOL.md says what they mean."""
