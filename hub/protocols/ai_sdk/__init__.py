"""The Vercel AI SDK's protocol, for `useChat` of ai 6 and 7: a chat is a thread, and the answer to each message a plan."""
