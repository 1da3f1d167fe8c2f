"""The wire protocol of /ws/streaming: frames, codes and the codec. docs/PROTOCOL.md specifies it."""
