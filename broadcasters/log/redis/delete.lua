#!lua flags=allow-oom
-- Forgets a plan and tells its watchers. (When memory is full, this is how room is made.)
-- KEYS  log, meta, keys, checkpoint, live channel
-- Answers {owner or '', labels or ''}, or {} when there was no plan.
local said = redis.call('HMGET', KEYS[2], 'epoch', 'owner', 'labels')
if redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4]) == 0 then return {} end
redis.call('SPUBLISH', KEYS[5], 'deleted')
return {said[2] or '', said[3] or ''}
