#!lua flags=allow-oom
-- Deletes a plan and publishes that. (Works when memory is full, to free some.)
-- KEYS  log, meta, keys, checkpoint; or only the first
-- Returns {owner or '', labels or ''}, or {} if there was no plan.
local stem = string.sub(KEYS[1], 1, -4)
local plan = redis.call('HMGET', stem .. 'meta', 'epoch', 'owner', 'labels')
local gone = 0
for _, part in ipairs({'log', 'meta', 'keys', 'checkpoint'}) do gone = gone + redis.call('UNLINK', stem .. part) end
if gone == 0 then return {} end
redis.call('SPUBLISH', stem .. 'live', 'deleted')
return {plan[2] or '', plan[3] or ''}
