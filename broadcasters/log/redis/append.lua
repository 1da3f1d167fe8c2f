#!lua name=@NAME@
-- Appends to one plan in one step: deduplicate, assign offsets, store, update the hash, publish. A function, not a script,
-- because it keeps the server's identity between calls. @NAME@ is the name of the library and of the function.
-- KEYS  log, meta, and keys if an entry has one: those that must be on this node while a Cluster moves the slot. The other
--       keys' names are derived from theirs; they may be missing.
-- ARGV  1 producer, 2 seq of the first entry, 3 name for a new epoch, 4 seconds to live (0: no expiry), 5 status for a plan
--       that has none, 6 number of payloads, 7 number of keys (none, or one a payload, '' for none), 8… the payloads, the
--       keys, and facts as name, value, name, value …
-- Returns {epoch, now in ms, events since the checkpoint, offset of the first entry}, or with every entry's offset if
-- these are not consecutive; 0 stands for an entry from before the producer's last append.
local LINEAGE = 16
local PRODUCERS, SILENT = 256, 900

-- The server's run id and replication id when this library first needed them. The variable lasts as long as the server's
-- data: a restart and a full resynchronisation replace the libraries together with the keys. So events appended under one
-- identity form one history, of which nothing was lost.
local identity

-- Whether the plan's last event was appended under our identity. If not, INFO is read again: the replication id may have
-- changed without a loss, and another version of this library may have read it later than this one.
local function written_here(by)
  if not identity or by and by ~= identity then
    local info = redis.call('INFO', 'server', 'replication')
    identity = string.match(info, 'run_id:(%x+)') .. ' ' .. string.match(info, 'master_replid:(%x+)')
  end
  return by == identity
end

-- Every append that `append` below does not handle itself.
local function append_carefully(KEYS, ARGV, plan, seconds, now)
  local call = redis.call
  local log, stem = KEYS[1], string.sub(KEYS[1], 1, -4)
  local meta, live = stem .. 'meta', stem .. 'live'
  local n, ttl = tonumber(ARGV[6]), tonumber(ARGV[4])
  local producer, record, keyed = 'p:' .. ARGV[1], plan[7], ARGV[7] ~= '0'
  local keys, checkpoint = stem .. 'keys', stem .. 'checkpoint'
  local seq = tonumber(ARGV[2])

  local function key_of(i)
    return keyed and ARGV[7 + n + i] or ''
  end

  -- The offset of this producer's `at`-th entry, as far as is remembered: only its last append is; an entry before that is
  -- known to be stored (0).
  local function remembered()
    if not record then return function() return false end end
    local last, first, listed = string.match(record, '^(%d+) (%d+) %d+ (.*)$')
    last, first = tonumber(last), tonumber(first)
    local offsets = {}
    for offset in string.gmatch(listed, '%d+') do offsets[#offsets + 1] = tonumber(offset) end
    return function(at)
      if at > last then return false end
      if at < first then return 0 end
      return #offsets == 1 and offsets[1] + at - first or offsets[at - first + 1]
    end
  end

  -- The entries' offsets (a repeated entry keeps its first one, new ones follow the head), the new payloads, and the new
  -- keys with their offsets.
  local function assigned(head)
    local offsets, payloads, new_keys, offset_of, here = {}, {}, {}, remembered(), {}
    for i = 1, n do
      local key = key_of(i)
      local offset = key ~= '' and (here[key] or tonumber(call('HGET', keys, key))) or offset_of(seq + i - 1)
      if not offset then
        payloads[#payloads + 1] = ARGV[7 + i]
        offset = head + #payloads
        if key ~= '' then
          here[key] = offset
          new_keys[#new_keys + 1] = key
          new_keys[#new_keys + 1] = offset
        end
      end
      offsets[i] = offset
    end
    return offsets, payloads, new_keys
  end

  local function lineage_with(epoch, offset)
    local ended = {}
    for one in string.gmatch(call('HGET', meta, 'lineage') or '', '%S+') do ended[#ended + 1] = one end
    ended[#ended + 1] = epoch .. ':' .. offset
    return table.concat(ended, ' ', math.max(1, #ended - LINEAGE + 1))
  end

  local function keep(new_keys)
    if #new_keys == 0 then return end
    call('HSET', keys, unpack(new_keys))
    if ttl > 0 and call('HLEN', keys) * 2 == #new_keys then call('EXPIRE', keys, ttl) end
  end

  -- Expiry counts from the last event, but is renewed only when a hundredth of it has passed. (While a slot is moved, even
  -- that fails for a key that is missing.)
  local function keep_alive()
    local touched = tonumber(plan[5] or 0)
    if ttl == 0 and touched ~= 0 then
      for _, key in ipairs({log, meta, keys, checkpoint}) do redis.pcall('PERSIST', key) end
      call('HSET', meta, 'touched', 0)
    elseif ttl > 0 and seconds - touched >= ttl / 100 then
      for _, key in ipairs({log, meta, keys, checkpoint}) do redis.pcall('EXPIRE', key, ttl) end
      call('HSET', meta, 'touched', seconds)
    end
  end

  -- The hash stays bounded: when a plan has many producers, those long silent are removed.
  local function remove_silent_producers()
    local count = call('HLEN', meta)
    if record or count <= PRODUCERS or count % 64 ~= 0 then return end
    local fields, gone = call('HGETALL', meta), {}
    for i = 1, #fields, 2 do
      if string.sub(fields[i], 1, 2) == 'p:' then
        local last_seen = tonumber(string.match(fields[i + 1], '^%d+ %d+ (%d+)'))
        if seconds - last_seen > SILENT then gone[#gone + 1] = fields[i] end
      end
    end
    for i = 1, #gone, 500 do call('HDEL', meta, unpack(gone, i, math.min(i + 499, #gone))) end
  end

  if not plan[1] or call('EXISTS', log) == 0 then
    -- There is no plan, or half of one: begin a new plan, without what is left.
    local kind = call('TYPE', log).ok
    if kind ~= 'none' and kind ~= 'stream' then
      return redis.error_reply('WRONGTYPE at ' .. log .. ' is another program\'s ' .. kind)
    end
    for _, key in ipairs({checkpoint, keys, meta, log}) do call('DEL', key) end
    plan, record = {}, false
  end

  local head, covered = tonumber(plan[1] or 0), tonumber(plan[6] or 0)
  local offsets, payloads, new_keys = assigned(head)
  if #payloads == 0 then return {plan[2], now, head - covered, unpack(offsets)} end

  local epoch, set = plan[2], {}
  if not written_here(plan[3]) then
    epoch = ARGV[3]
    local changed = plan[1] and {'lineage', lineage_with(plan[2], head)} or {'created', now, 'touched', 0}
    set = {'epoch', epoch, 'identity', identity, unpack(changed)}
  end

  local first = head + 1
  for i = 1, #payloads do call('XADD', log, (head + i) .. '-0', 'e', payloads[i]) end
  head = head + #payloads

  local last = (seq + n - 1) .. ' ' .. seq .. ' ' .. seconds .. ' ' .. table.concat(offsets, ' ')
  for _, word in ipairs({'offset', head, 'updated', now, producer, last}) do set[#set + 1] = word end
  if not plan[4] and ARGV[5] ~= '' then set[#set + 1], set[#set + 2] = 'status', ARGV[5] end
  for i = 8 + n + tonumber(ARGV[7]), #ARGV do set[#set + 1] = ARGV[i] end
  call('HSET', meta, unpack(set))
  keep(new_keys)
  keep_alive()
  remove_silent_producers()

  call('SPUBLISH', live, epoch .. ' ' .. first .. ' ' .. #payloads .. '\n' .. table.concat(payloads, '\n'))
  return {epoch, now, head - covered, unpack(offsets)}
end

-- Nearly every append is a plain one: the plan exists, the producer is known, the entries are new, and nothing else
-- changes. That case is written out here, because making a table, or a string of a number, costs as much as a command.
local function append(KEYS, ARGV)
  local call = redis.call
  local log, stem = KEYS[1], string.sub(KEYS[1], 1, -4)
  local meta, live = stem .. 'meta', stem .. 'live'
  local n, ttl, producer = tonumber(ARGV[6]), tonumber(ARGV[4]), 'p:' .. ARGV[1]

  local time = call('TIME')
  local seconds = time[1]
  local now = seconds .. string.sub('00000' .. time[2], -6, -4)
  local plan = call('HMGET', meta, 'offset', 'epoch', 'identity', 'status', 'touched', 'cp', producer)

  local record = plan[7]
  if plan[3] == identity and plan[4] and record and #ARGV == 7 + n
      and tonumber(ARGV[2]) > tonumber(string.match(record, '^%d+'))
      and (seconds - plan[5] < ttl / 100 or ttl == 0 and plan[5] == '0') then
    local offset = plan[1] + 1
    local first, at, last, text = offset .. '', offset .. '', ARGV[2], ARGV[8]
    if call('XADD', log, 'NOMKSTREAM', at .. '-0', 'e', text) then
      if n > 1 then
        for i = 9, 7 + n do
          offset = offset + 1
          at = offset .. ''
          call('XADD', log, at .. '-0', 'e', ARGV[i])
        end
        last, text = last + n - 1, table.concat(ARGV, '\n', 8)
      end
      local latest = last .. ' ' .. ARGV[2] .. ' ' .. seconds .. ' ' .. first
      call('HSET', meta, 'offset', at, 'updated', now, producer, latest)
      call('SPUBLISH', live, plan[2] .. ' ' .. first .. ' ' .. ARGV[6] .. '\n' .. text)
      return {plan[2], now, offset - (plan[6] or 0), first}
    end
  end
  return append_carefully(KEYS, ARGV, plan, seconds, now)
end

redis.register_function('@NAME@', append)
