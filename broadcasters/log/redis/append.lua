#!lua
-- Appends to one plan in one step: deduplicate, next offset, store, book, tell the watchers.
-- KEYS  log, meta, keys, checkpoint, live channel
-- ARGV  1 producer, 2 seq of the first entry, 3 name of an epoch should one begin now, 4 seconds to live (0: for ever),
--       5 status should the plan have none, 6 how many payloads, 7 how many keys (none, or one a payload, '' for none),
--       8… the payloads, the keys, and then facts as name, value, name, value …
-- Answers {epoch, now in ms, events since the checkpoint, offset of the first entry}, or with every entry's offset
-- when these are not neighbours; 0 stands for an entry from before the producer's last append.
local call = redis.call
local log, meta, keys, checkpoint, live = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local n, ttl = tonumber(ARGV[6]), tonumber(ARGV[4])
local producer, keyed = 'p:' .. ARGV[1], ARGV[7] ~= '0'

-- Written in when the script is loaded, so that it cannot outlive the server it speaks of: no server keeps or
-- replicates the scripts it has cached.
local IDENTITY = '@IDENTITY@'

local time = call('TIME')
local seconds = time[1]
local now = seconds .. string.sub('00000' .. time[2], -6, -4)
local plan = call('HMGET', meta, 'offset', 'epoch', 'identity', 'status', 'touched', 'cp', producer)

-- Nearly every append is a plain one: the plan goes on, the producer is known and says something new, nothing else
-- changes. It is written out here, since making a function, a table or a number's text costs as much as a command.
local record = plan[7]
if plan[3] == IDENTITY and plan[4] and record and not keyed and #ARGV == 7 + n
    and tonumber(ARGV[2]) > tonumber(string.match(record, '^%d+'))
    and (seconds - plan[5] < ttl / 100 or ttl == 0 and plan[5] == '0') then
  local offset = plan[1] + 1
  local first, at, last, said = offset .. '', offset .. '', ARGV[2], ARGV[8]
  if call('XADD', log, 'NOMKSTREAM', at .. '-0', 'e', said) then
    if n > 1 then
      for i = 9, 7 + n do
        offset = offset + 1
        at = offset .. ''
        call('XADD', log, at .. '-0', 'e', ARGV[i])
      end
      last, said = last + n - 1, table.concat(ARGV, '\n', 8)
    end
    local place = last .. ' ' .. ARGV[2] .. ' ' .. seconds .. ' ' .. first
    call('HSET', meta, 'offset', at, 'updated', now, producer, place)
    call('SPUBLISH', live, plan[2] .. ' ' .. first .. ' ' .. ARGV[6] .. '\n' .. said)
    return {plan[2], now, offset - (plan[6] or 0), first}
  end
end

-- All others.
local LINEAGE = 16
local PRODUCERS, SILENT = 256, 900
local seq = tonumber(ARGV[2])
seconds = tonumber(seconds)

-- A server may be demoted and promoted again without forgetting its scripts; before an epoch begins, it is asked.
local function is_identity()
  local info = call('INFO', 'server', 'replication')
  return string.match(info, 'run_id:(%x+)') .. ' ' .. string.match(info, 'master_replid:(%x+)') == IDENTITY
end

local function key_of(i)
  return keyed and ARGV[7 + n + i] or ''
end

-- Where the entries stand already: offsets (false: nowhere yet) by place in this append.
local function known(record)
  local offsets, first, last = {}, 0, -1
  local places = {}
  if record then
    last, first, places = string.match(record, '^(%d+) (%d+) %d+ (.*)$')
    last, first = tonumber(last), tonumber(first)
    local listed = {}
    for place in string.gmatch(places, '%d+') do listed[#listed + 1] = tonumber(place) end
    places = listed
  end
  for i = 1, n do
    local at, offset = seq + i - 1, false
    if key_of(i) ~= '' then offset = tonumber(call('HGET', keys, key_of(i))) or false end
    if not offset and at <= last then
      if at < first then offset = 0
      elseif #places == 1 then offset = places[1] + at - first
      else offset = places[at - first + 1] end
    end
    offsets[i] = offset
  end
  return offsets
end

-- Nothing stays for ever because someone came by once: producers long silent are forgotten when there are many.
local function forget_silent_producers()
  local fields, gone = call('HGETALL', meta), {}
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'p:' then
      local spoke = tonumber(string.match(fields[i + 1], '^%d+ %d+ (%d+)'))
      if seconds - spoke > SILENT then gone[#gone + 1] = fields[i] end
    end
  end
  for i = 1, #gone, 500 do call('HDEL', meta, unpack(gone, i, math.min(i + 499, #gone))) end
end

local function keep_alive(touched, set)
  if ttl == 0 and touched ~= 0 then
    for i = 1, 4 do call('PERSIST', KEYS[i]) end
    set[#set + 1], set[#set + 2] = 'touched', 0
  elseif ttl > 0 and seconds - touched >= ttl / 100 then
    set[#set + 1], set[#set + 2] = 'touched', seconds
    return true
  end
end

local function lineage_with(epoch, offset)
  local ended = {}
  for one in string.gmatch(call('HGET', meta, 'lineage') or '', '%S+') do ended[#ended + 1] = one end
  ended[#ended + 1] = epoch .. ':' .. offset
  return table.concat(ended, ' ', math.max(1, #ended - LINEAGE + 1))
end

local function append(m)
  local begun, head, epoch, record = m[1], tonumber(m[1] or 0), m[2], m[7]
  local covered = tonumber(m[6] or 0)
  local last = record and tonumber(string.match(record, '^%d+')) or -1
  local offsets = false
  if keyed or seq <= last then offsets = known(record) end

  local payloads, stored_keys, first = {}, {}, head + 1
  if not offsets then
    for i = 1, n do payloads[i] = ARGV[7 + i] end
  else
    local repeated = {}
    for i = 1, n do
      local key = key_of(i)
      if not offsets[i] then
        offsets[i] = key ~= '' and repeated[key] or false
      end
      if not offsets[i] then
        payloads[#payloads + 1] = ARGV[7 + i]
        offsets[i] = head + #payloads
        if key ~= '' then
          repeated[key] = offsets[i]
          stored_keys[#stored_keys + 1] = key
          stored_keys[#stored_keys + 1] = offsets[i]
        end
      end
    end
    if #payloads == 0 then return {epoch, now, head - covered, unpack(offsets)} end
  end

  local set = {}
  if m[3] ~= IDENTITY then
    if not is_identity() then return redis.error_reply('NOTME this server is not who the script was made for') end
    if begun then
      set = {'lineage', lineage_with(epoch, head)}
    else
      local kind = call('TYPE', log).ok
      if kind ~= 'none' and kind ~= 'stream' then
        return redis.error_reply('WRONGTYPE at ' .. log .. ' is somebody else\'s ' .. kind)
      end
      call('DEL', log, keys, checkpoint)
      set = {'created', now, 'touched', 0}
    end
    epoch = ARGV[3]
    set[#set + 1], set[#set + 2] = 'epoch', epoch
    set[#set + 1], set[#set + 2] = 'identity', IDENTITY
  end

  for i = 1, #payloads do
    local id = (head + i) .. '-0'
    if begun then
      if not call('XADD', log, 'NOMKSTREAM', id, 'e', payloads[i]) then
        -- The bookkeeping outlived the events: this log was lost.
        call('DEL', meta, keys, checkpoint)
        return append({})
      end
    else
      call('XADD', log, id, 'e', payloads[i])
    end
  end
  head = head + #payloads

  local places = first
  if offsets then places = table.concat(offsets, ' ') end
  set[#set + 1], set[#set + 2] = 'offset', head
  set[#set + 1], set[#set + 2] = 'updated', now
  set[#set + 1] = producer
  set[#set + 1] = (seq + n - 1) .. ' ' .. seq .. ' ' .. seconds .. ' ' .. places
  if not m[4] and ARGV[5] ~= '' then set[#set + 1], set[#set + 2] = 'status', ARGV[5] end
  for i = 8 + n + tonumber(ARGV[7]), #ARGV do set[#set + 1] = ARGV[i] end
  local expire = keep_alive(tonumber(m[5] or 0), set)
  call('HSET', meta, unpack(set))
  if #stored_keys > 0 then
    call('HSET', keys, unpack(stored_keys))
    if ttl > 0 and call('HLEN', keys) * 2 == #stored_keys then call('EXPIRE', keys, ttl) end
  end
  if expire then
    for i = 1, 4 do call('EXPIRE', KEYS[i], ttl) end
  end
  if not record then
    local fields = call('HLEN', meta)
    if fields > PRODUCERS and fields % 64 == 0 then forget_silent_producers() end
  end

  call('SPUBLISH', live, epoch .. ' ' .. first .. ' ' .. #payloads .. '\n' .. table.concat(payloads, '\n'))
  if offsets then return {epoch, now, head - covered, unpack(offsets)} end
  return {epoch, now, head - covered, first}
end

return append(plan)
