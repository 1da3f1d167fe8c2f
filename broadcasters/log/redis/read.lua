#!lua flags=no-writes
-- One consistent view of a plan: the events that follow an offset, and the log's lineage, head and floor.
-- KEYS  log, meta; or only the first
-- ARGV  offset to read after, maximum of events, approximate maximum of bytes
-- Returns {epoch, lineage, head, floor, offset of the first payload, payload, payload …}, or {} if there is no plan.
local log, limit, room = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local m = redis.call('HMGET', string.sub(log, 1, -4) .. 'meta', 'epoch', 'lineage', 'offset', 'floor')
if not m[1] then return {} end
local head, floor = tonumber(m[3]), tonumber(m[4] or 0)
local at = math.max(tonumber(ARGV[1]), floor)
local page = {m[1], m[2] or '', head, floor, at + 1}
local count, bytes, want = 0, 0, 16

while at < head and count < limit and (count == 0 or bytes < room) do
  local found = redis.call('XRANGE', log, at + 1, '+', 'COUNT', math.min(want, limit - count))
  if #found == 0 and redis.call('EXISTS', log) == 0 then return {} end
  if #found == 0 or found[1][1] ~= (at + 1) .. '-0' or found[#found][1] ~= (at + #found) .. '-0' then
    return redis.error_reply('HOLE after offset ' .. at)
  end
  for i = 1, #found do
    local payload = found[i][2][2]
    if count > 0 and bytes + #payload > room then return page end
    count, bytes = count + 1, bytes + #payload
    page[5 + count] = payload
  end
  at = at + #found
  want = math.ceil((room - bytes) * count / math.max(bytes, 1)) + 1
end
return page
