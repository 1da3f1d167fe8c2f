#!lua flags=allow-oom
-- Forgets a plan and tells its watchers. (When memory is full, this is how room is made.)
-- KEYS  log, meta, keys, checkpoint; or only the first
-- Answers {owner or '', labels or ''}, or {} when there was no plan.
local stem = string.sub(KEYS[1], 1, -4)
local said = redis.call('HMGET', stem .. 'meta', 'epoch', 'owner', 'labels')
local gone = 0
for _, part in ipairs({'log', 'meta', 'keys', 'checkpoint'}) do gone = gone + redis.call('UNLINK', stem .. part) end
if gone == 0 then return {} end
redis.call('SPUBLISH', stem .. 'live', 'deleted')
return {said[2] or '', said[3] or ''}
