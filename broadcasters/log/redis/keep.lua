#!lua flags=allow-oom
-- Stores a checkpoint, unless a newer one is stored or its position is not in the lineage, and trims what it covers. (Also
-- when memory is full: a snapshot takes less of it than the trimmed events.)
-- KEYS  log, meta, checkpoint; or only the first
-- ARGV  epoch, offset, how many events to leave before it, the checkpoint as it is stored
-- Returns 1 if it was stored, else 0.
local log, stem = KEYS[1], string.sub(KEYS[1], 1, -4)
local meta, checkpoint = stem .. 'meta', stem .. 'checkpoint'
local epoch, offset = ARGV[1], tonumber(ARGV[2])
local m = redis.call('HMGET', meta, 'epoch', 'lineage', 'offset', 'floor', 'cp')
if not m[1] or offset < 1 or offset < tonumber(m[5] or 0) then return 0 end

local ended = epoch == m[1] and tonumber(m[3]) or -1
for old, last in string.gmatch(m[2] or '', '(%S+):(%d+)') do
  if old == epoch then ended = tonumber(last) end
end
if offset > ended then return 0 end

local lives = redis.call('PTTL', meta)
redis.call('SET', checkpoint, ARGV[4])
if lives > 0 then redis.call('PEXPIRE', checkpoint, lives) end
local floor = math.max(tonumber(m[4] or 0), offset - tonumber(ARGV[3]))
redis.call('HSET', meta, 'cp', offset, 'floor', floor)
if floor > tonumber(m[4] or 0) then redis.call('XTRIM', log, 'MINID', '=', floor + 1) end
return 1
